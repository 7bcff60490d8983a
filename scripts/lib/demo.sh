# SPDX-License-Identifier: Apache-2.0
# scripts/run --demo: a real llama-server, load, the agent, and its requests on the screen.
source "$ROOT/scripts/lib/llama.sh"

DEMO_CHILDREN=()
demo_folder=

end_demo() {
  trap - EXIT INT TERM
  for child in "${DEMO_CHILDREN[@]}"; do kill "$child" 2>/dev/null || true; done
  for child in "${DEMO_CHILDREN[@]}"; do wait "$child" 2>/dev/null || true; done
  [ -z "$demo_folder" ] || rm -rf "$demo_folder"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for() { # SECONDS WHAT COMMAND…
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "$what does not come up" "its log is in $demo_folder"
    sleep 0.1
  done
}

run_demo() { # SECONDS agent arguments…
  local seconds=$1 port
  shift
  install_packages curl
  prepare_llama && prepare_medium_model || die "llama-server cannot be had here" "see the message above"
  demo_folder=$(mktemp -d)
  trap 'demo_folder= end_demo' INT TERM
  trap end_demo EXIT
  port=$(free_port)
  say "starting llama-server on 127.0.0.1:$port"
  chroot "$LLAMA_ROOT" /usr/bin/llama-server -m /models/medium.gguf --host 127.0.0.1 --port "$port" --parallel 4 -t 1 \
    >"$demo_folder/llama.log" 2>&1 &
  DEMO_CHILDREN+=($!)
  printf 'api: {socket: %s}\nstate: {folder: %s}\n' "$demo_folder/api.sock" "$demo_folder/state" >"$demo_folder/agent.yaml"
  "$AGENT" run -c "$demo_folder/agent.yaml" "$@" >"$demo_folder/agent.log" 2>&1 &
  DEMO_CHILDREN+=($!)
  wait_for 60 llama-server curl -sf "http://127.0.0.1:$port/health"
  wait_for 30 "the agent" test -S "$demo_folder/api.sock"
  cat "$demo_folder/agent.log" >&2
  python3 "$ROOT/tests/support/load.py" --port "$port" --streams 2 --tokens 30 >"$demo_folder/load.log" 2>&1 &
  DEMO_CHILDREN+=($!)
  say "requests of llama-server, as the kernel sees them (Ctrl-C ends the demo; no client or server was changed)"
  if [ "$seconds" -gt 0 ]; then
    timeout "$seconds" "$AGENT" trace --follow --socket "$demo_folder/api.sock" || [ $? = 124 ]
  else
    "$AGENT" trace --follow --socket "$demo_folder/api.sock" || true
  fi
  say "the last one in full"
  local id
  id=$("$AGENT" trace --json --last 5 --socket "$demo_folder/api.sock" | grep '"inferscope.outcome":"ok"' |
    grep time_to_first_token | tail -1 | sed 's/.*"trace_id":"\([0-9a-f]*\)".*/\1/')
  [ -z "$id" ] || "$AGENT" trace "$id" --socket "$demo_folder/api.sock"
}
