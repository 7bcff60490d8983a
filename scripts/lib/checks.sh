# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts/test: its steps. A step that fails does not keep the others from running.
MAIN_LOG=$ROOT/build/tests.log
FAILED_STEPS=()
SKIPS=()

# step WHAT COMMAND…: announces it, runs it, says how long it took.
step() {
  local what=$1 begin=$SECONDS
  shift
  say "$what"
  if "$@"; then
    say "$what: done in $((SECONDS - begin)) s"
  else
    FAILED_STEPS+=("$what")
    say "$what: FAILED after $((SECONDS - begin)) s"
  fi
}
must_step() {
  step "$@"
  [ ${#FAILED_STEPS[@]} = 0 ] || [ "${FAILED_STEPS[-1]}" != "$1" ] || die "$1 failed, so nothing can be tested"
}
skip() { # WHAT WHY
  SKIPS+=("$1: $2")
  say "SKIP $1: $2"
}

sources_of() { # FOLDER…: C and C++ files
  (cd "$ROOT" && find "$@" -type f \( -name '*.c' -o -name '*.cpp' -o -name '*.h' \) | LC_ALL=C sort)
}

# Other versions format otherwise, so only this one may judge.
check_format() {
  local tool
  tool=$(command -v clang-format-14) || { skip "format" "clang-format 14 is not installed, and others format otherwise"; return 0; }
  (cd "$ROOT" && sources_of agent exporters tests | xargs "$tool" --dry-run -Werror)
}

llama_or_skip() {
  { prepare_llama && prepare_medium_model; } || skip "tests with llama-server" "it cannot be fetched here"
}
programs_or_skip() {
  prepare_programs || skip "tests with other servers (${PROGRAM_PACKAGES[*]})" "they cannot be fetched here"
}
collector_or_skip() {
  if prepare_collector; then
    export INFERSCOPE_COLLECTOR=$COLLECTOR
  else
    skip "test with an OpenTelemetry Collector" "it cannot be built here"
  fi
}

# main_tests [ctest options…]: the release build's tests, with ctest's own words. Two thirds of their time they wait (for
# the kernel to let go of probes, for what time brings), so one runs beside as many of those that count for two as there
# are processors (tests/system/CMakeLists.txt).
main_tests() {
  local result=0
  ctest --test-dir "$ROOT/build/release" --output-on-failure --no-tests=error -j $((JOBS * 2 + 1)) "$@" 2>&1 | tee "$MAIN_LOG" ||
    result=1
  # A program that skips only some of its tests passes, so what it skipped is told here.
  grep -hE '^SKIPPED ' "$ROOT/build/release/Testing/Temporary/LastTest.log" >&2 || true
  return $result
}

# Sanitized tests are compiled with little optimisation, which halves the time. The thread sanitizer is for what has
# threads, or is made for several of them: the stages have none, so their tests would take its time for nothing.
ADDRESS_PROGRAMS='[a-z0-9_]+_(tests|fuzz)'
THREAD_PROGRAMS='(core|http|jsonl|otlp|webhook|web|runtime|replay)_tests'
sanitized_tests() { # PRESET PROGRAMS LABELS
  local log=$ROOT/build/$1-tests.log targets
  mkdir -p "$ROOT/build"
  (cd "$ROOT" && cmake --preset "$1" -DCMAKE_CXX_FLAGS_RELWITHDEBINFO='-O1 -g1') >"$log" 2>&1 || {
    tail -20 "$log" >&2
    return 1
  }
  mapfile -t targets < <(cmake --build "$ROOT/build/$1" --target help | grep -oE "^($2): phony" | cut -d: -f1)
  [ ${#targets[@]} -gt 0 ] || return 1
  (build_preset "$1" "${targets[@]}") || return 1
  if ctest --test-dir "$ROOT/build/$1" --output-on-failure --no-tests=error -j "$JOBS" -L "^($3)\$" >"$log" 2>&1; then
    grep -E 'tests passed' "$log" >&2
  else
    tail -60 "$log" >&2
    return 1
  fi
}

# clang-tidy on each source file; a file whose text, and that of all headers, was found good before is left out.
check_tidy() {
  local tool=clang-tidy-14 good=$ROOT/build/tidy headers file key result=0 todo=()
  command -v "$tool" >/dev/null || { skip "clang-tidy" "version 14 is not installed"; return 0; }
  mkdir -p "$good"
  headers=$({ cat "$ROOT/.clang-tidy" && sources_of agent exporters | grep '\.h$' | (cd "$ROOT" && xargs cat); } | sha256sum)
  while read -r file; do
    key=$(printf '%s %s' "$headers" "$(sha256sum "$ROOT/$file")" | sha256sum | cut -c 1-40)
    [ -e "$good/$key" ] || todo+=("$file:$key")
  done < <(sources_of agent exporters | grep '\.cpp$')
  [ ${#todo[@]} -gt 0 ] || return 0
  say "clang-tidy: ${#todo[@]} files"
  printf '%s\n' "${todo[@]}" | xargs -P "$JOBS" -I{} bash -c '
    file=${4%:*} key=${4##*:}
    if output=$("$1" -p "$2/build/release" --quiet --extra-arg=-Wno-unknown-warning-option "$2/$file" 2>/dev/null); then : >"$3/$key"; else
      printf "%s\n%s\n" "$file" "$output"; exit 1; fi' tidy "$tool" "$ROOT" "$good" {} || result=1
  return $result
}

check_static() {
  local binary doctor
  (build_preset release inferscope_static) || return 1
  binary=$(agent_binary release)_static
  file "$binary" | grep -q 'statically linked' || { echo "$binary is not static: $(file "$binary")" >&2; return 1; }
  ! ldd "$binary" >/dev/null 2>&1 || { echo "$binary needs shared libraries" >&2; return 1; }
  "$binary" --version || return 1
  doctor=$("$binary" doctor) || { printf 'the static agent loads no probes:\n%s\n' "$doctor" >&2; return 1; }
  grep -q '^  socket  *on ' <<<"$doctor" || { printf 'the static agent lacks probes:\n%s\n' "$doctor" >&2; return 1; }
}

# A machine in software emulation can come to a halt of its own: one that did not end is started once more, and that is told.
check_kernel() { # SUITE
  local result=0
  "$ROOT/vagrant/run-kernel" --kernel "$1" "$ROOT/vagrant/check" || result=$?
  case $result in
    124 | 125)
      say "$1's kernel did not come to its end: once more"
      SKIPS+=("$1's kernel, first try: it did not come to its end, see above")
      "$ROOT/vagrant/run-kernel" --kernel "$1" "$ROOT/vagrant/check"
      ;;
    *) return $result ;;
  esac
}

# check_kernels SUITE…: what vagrant/check asks of a kernel, of each.
check_kernels() {
  local suite result=0
  for suite in "$@"; do
    if ! "$ROOT/vagrant/run-kernel" --kernel "$suite" --fetch; then
      skip "$suite's kernel" "it cannot be fetched here"
      continue
    fi
    say "$suite's kernel, $(<"$(kernel_folder "$suite")/version")"
    check_kernel "$suite" || result=1
  done
  return $result
}

# The end of scripts/test: what was skipped, ctest's own summary of the main run, what failed.
report() {
  local line
  for line in "${SKIPS[@]}"; do say "SKIP $line"; done
  say "all of it took $((SECONDS / 60)) min $((SECONDS % 60)) s; the main run of the tests:"
  sed -n '/tests passed,/,$p' "$MAIN_LOG" 2>/dev/null || true
  if [ ${#FAILED_STEPS[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${FAILED_STEPS[@]}" >&2
    exit 1
  fi
}
