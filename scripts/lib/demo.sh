# SPDX-License-Identifier: Apache-2.0
# scripts/run --demo: a real llama-server, load, the agent, and its requests on the screen.
source "$ROOT/scripts/lib/llama.sh"

DEMO_CHILDREN=() DEMO_CGROUPS=()
demo_folder= demo_server= demo_port=

end_demo() {
  trap - EXIT INT TERM
  for child in "${DEMO_CHILDREN[@]}"; do kill "$child" 2>/dev/null && kill -CONT "$child" 2>/dev/null || true; done
  for child in "${DEMO_CHILDREN[@]}"; do wait "$child" 2>/dev/null || true; done
  for cgroup in "${DEMO_CGROUPS[@]}"; do within 5 rmdir "$cgroup" || say "left behind: $cgroup"; done
  rm -rf "$demo_folder"
}

begin_demo() {
  install_packages curl
  prepare_llama && prepare_medium_model || die "llama-server cannot be had here" "see the message above"
  demo_folder=$(mktemp -d)
  trap 'end_demo; exit 130' INT TERM
  trap end_demo EXIT
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

within() { # SECONDS COMMAND…: whether it succeeds in that time
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.1
  done
}
wait_for() { # SECONDS WHAT COMMAND…
  local limit=$1 what=$2
  shift 2
  within "$limit" "$@" || die "$what does not come up" "$(tail -qn 3 "$demo_folder"/*.log)"
}
ask() { # COMMAND…: of the demo's agent
  "$AGENT" "$@" --socket "$demo_folder/api.sock"
}

start_server() { # on one processor
  demo_port=$(free_port)
  say "starting llama-server on 127.0.0.1:$demo_port"
  taskset -c 0 chroot "$LLAMA_ROOT" /usr/bin/llama-server -m /models/medium.gguf --host 127.0.0.1 --port "$demo_port" \
    --parallel 4 -t 1 >"$demo_folder/llama.log" 2>&1 &
  demo_server=$!
  DEMO_CHILDREN+=("$demo_server")
  wait_for 60 llama-server curl -sf "http://127.0.0.1:$demo_port/health"
}

start_agent() { # CONFIGURATION agent arguments…
  printf 'api: {socket: %s}\nstate: {folder: %s}\n%s' "$demo_folder/api.sock" "$demo_folder/state" "$1" \
    >"$demo_folder/agent.yaml"
  shift
  "$AGENT" run -c "$demo_folder/agent.yaml" "$@" >"$demo_folder/agent.log" 2>&1 &
  DEMO_CHILDREN+=($!)
  wait_for 30 "the agent" test -S "$demo_folder/api.sock"
  cat "$demo_folder/agent.log" >&2
}

start_load() { # options of load.py…
  python3 "$ROOT/tests/support/load.py" --port "$demo_port" "$@" >"$demo_folder/load.log" 2>&1 &
  DEMO_CHILDREN+=($!)
}

run_demo() { # SECONDS agent arguments…
  local seconds=$1 id
  shift
  begin_demo
  start_server
  start_agent "" "$@"
  start_load --streams 2 --tokens 30
  say "requests of llama-server, as the kernel sees them (Ctrl-C ends the demo; no client or server was changed)"
  if [ "$seconds" -gt 0 ]; then
    timeout "$seconds" "$AGENT" trace --follow --socket "$demo_folder/api.sock" || [ $? = 124 ]
  else
    ask trace --follow || true
  fi
  say "the last one in full"
  id=$(ask trace --json --last 5 | grep '"inferscope.outcome":"ok"' | grep time_to_first_token | tail -1 |
    sed 's/.*"trace_id":"\([0-9a-f]*\)".*/\1/')
  [ -z "$id" ] || ask trace "$id"
}
