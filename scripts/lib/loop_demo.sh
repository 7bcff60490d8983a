# SPDX-License-Identifier: Apache-2.0
# scripts/run --demo --loop: trouble is made for the demo's own llama-server, and the agent puts it right.

tell() { printf '%s  %-9s %s\n' "$(date +%T.%3N)" "$1" "$2"; }

# What the agent's log says of findings, decisions and effects, as it happens, in the columns of tell().
follow_loop() {
  tail -n +1 -f "$demo_folder/agent.log" > >(sed -unE '
    s/^.*T([0-9:.]{12})[^ ]* +([a-z]+) +(finding|decision|effect) id=.* text="?(.*[^"])"?$/\1|\3 \2|\4/
    t loop
    b
    : loop
    s/\|finding info\|/|over|/
    s/\|effect [a-z]+\|(.*, by (expiry|recovery|unchanged|worse)(, .*)?)$/|undone|\1/
    s/\|effect [a-z]+\|(.*, (recovered|unchanged|worse))$/|verified|\1/
    s/ (info|warning|error)\|/|/
    p' | while IFS='|' read -r time what text; do printf '%s  %-9s %s\n' "$time" "$what" "$text"; done) &
  demo_follower=$!
  DEMO_CHILDREN+=("$demo_follower")
}

# The shipped policies, but they enforce, with leases short enough to see their end, and on no culprit but the demo's.
enforcing_policies() { # FOLDER
  local policy
  mkdir "$1"
  for policy in "$ROOT"/policies/*.yaml; do
    sed -E 's/^mode: observe/mode: enforce/; s/for: 30s/for: 12s/
      /^  cause: cpu_contention/a\  culprit: {cgroup: /inferscope-demo-*}' "$policy" >"$1/${policy##*/}"
  done
}

# make_cgroup NAME: one with the cpu controller, of version 1 or 2. Its folder is in $made_cgroup.
make_cgroup() {
  local mount
  mount=$(awk '$3 == "cgroup" && $4 ~ /(^|,)cpu(,|$)/ {print $2; exit}' /proc/mounts)
  if [ -z "$mount" ]; then
    mount=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
    [ -n "$mount" ] && echo +cpu >"$mount/cgroup.subtree_control" || die "there is no cgroup with the cpu controller here"
  fi
  made_cgroup=$mount/inferscope-demo-$1-$$
  mkdir "$made_cgroup"
  DEMO_CGROUPS+=("$made_cgroup")
}

server_runs() { ! grep -q '^State:.[Tt]' "/proc/$demo_server/status"; }
something_holds() { [ -n "$(ask effects --open --json)" ]; }
nothing_holds() { ! something_holds; }

stop_the_server() {
  tell demo "stops llama-server: kill -STOP $demo_server"
  kill -STOP "$demo_server"
  if within 10 server_runs; then
    sleep 3
  else
    tell demo "nobody continued it for 10 seconds: the demo does"
    kill -CONT "$demo_server"
  fi
}

crowd_the_server() {
  local hog
  make_cgroup hog
  sh -c "echo \$\$ >$made_cgroup/cgroup.procs && exec taskset -c 0 sh -c 'while :; do :; done'" &
  hog=$!
  DEMO_CHILDREN+=("$hog")
  tell demo "starts a process that takes all it gets of llama-server's processor: pid $hog"
  if within 20 something_holds; then
    within 60 nothing_holds || true
  else
    tell demo "nothing was done about it for 20 seconds: this host is too busy to tell who is in whose way"
  fi
  kill "$hog"
  tell demo "ends process $hog"
  sleep 3
}

show_record() {
  local finding
  finding=$(ask effects --json | tail -1 | sed -nE 's/.*"finding": ?"([0-9a-f]+)".*/\1/p')
  [ -z "$finding" ] || { say "\$ inferscope findings $finding"; ask findings "$finding"; }
  say "\$ inferscope effects"
  ask effects
  say "\$ inferscope audit verify"
  "$AGENT" audit verify "$demo_folder/state/audit"
}

run_loop_demo() { # agent arguments…
  begin_demo
  enforcing_policies "$demo_folder/policies"
  start_server
  make_cgroup server
  echo "$demo_server" >"$made_cgroup/cgroup.procs"
  # Armed, so it sees nobody else's server.
  start_agent "policies: [$demo_folder/policies]
act: {armed: true}
watch: {automatic: false, include: [{port: $demo_port}]}
" "$@"
  start_load --streams 4 --tokens 100
  say "30 seconds of load, in which the agent learns what is usual (Ctrl-C ends the demo)"
  sleep 30
  follow_loop
  stop_the_server
  crowd_the_server
  kill "$demo_follower"
  show_record
}
