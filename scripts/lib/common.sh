# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts: where things are, and how they speak.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/inferscope
JOBS=$(nproc)

say() { printf '== %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf '       %s\n' "$2" >&2
  exit 1
}
need_root() { [ "$(id -u)" = 0 ] || die "$0 needs root: it installs packages and loads probes into the kernel" "run it with sudo"; }
