# SPDX-License-Identifier: Apache-2.0
agent_binary() { echo "$ROOT/build/$1/agent/cli/inferscope"; } # PRESET

# build_preset PRESET TARGET…: configures when needed and builds; the log is shown only if it fails.
build_preset() {
  local preset=$1 log started=$SECONDS
  shift
  mkdir -p "$ROOT/build"
  log=$ROOT/build/$preset.log
  say "building $preset: $* (a first build takes some minutes)"
  (cd "$ROOT" && cmake --preset "$preset" && cmake --build --preset "$preset" --parallel "$JOBS" --target "$@") >"$log" 2>&1 || {
    grep -E 'error|FAILED|CMake Error' "$log" | head -30 >&2
    die "building $preset failed" "the whole log is in $log"
  }
  say "built $preset in $((SECONDS - started)) s"
}
