# SPDX-License-Identifier: Apache-2.0
# A real OpenTelemetry Collector, built from Debian's Go packages. Nothing is installed, and of the 2.3 GB that they
# unpack to only the program is kept.
source "$ROOT/scripts/lib/debian.sh"
COLLECTOR=$CACHE/otel-collector
COLLECTOR_SOURCE=$ROOT/tests/system/collector/main.go

# suite_dependencies SUITE PACKAGE PATTERN: the package and all that it needs, directly or not, whose name matches.
suite_dependencies() {
  suite_apt "$1" apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "$2" | grep -E "^$3" | LC_ALL=C sort -u
}

build_collector() { # FOLDER
  local folder=$1 packages=() more=() package go
  update_suite sid && make_root "$folder" || return 1
  mapfile -t packages < <(suite_dependencies sid golang-opentelemetry-collector-dev 'golang-.*-dev$')
  mapfile -t more < <(suite_dependencies sid golang-go 'golang-[0-9.]+-(go|src)$')
  packages+=("${more[@]}")
  say "collector: ${#packages[@]} packages"
  # All in one call, since one for each spends minutes on reading the lists again.
  mkdir -p "$folder/debs"
  (cd "$folder/debs" && suite_apt sid apt-get -qq download "${packages[@]}") || return 1
  for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder" || return 1; done
  go=$(find "$folder/usr/lib" -maxdepth 1 -name 'go-*' | LC_ALL=C sort -V | tail -1)
  [ -x "$go/bin/go" ] || return 1
  install -D -m 644 "$COLLECTOR_SOURCE" "$folder/usr/share/gocode/src/collector/main.go"
  cd "$folder/usr/share/gocode/src/collector" || return 1
  GO111MODULE=off GOPATH=$folder/usr/share/gocode GOROOT=$go GOFLAGS='' CGO_ENABLED=0 GOCACHE=$folder/gocache \
    "$go/bin/go" build -o "$COLLECTOR.part" . && mv "$COLLECTOR.part" "$COLLECTOR"
}

prepare_collector() {
  local folder=$CACHE/collector.part result=0
  [ ! -x "$COLLECTOR" ] || [ "$COLLECTOR_SOURCE" -nt "$COLLECTOR" ] || return 0
  say "building an OpenTelemetry Collector from Debian's packages (once; some minutes, 2.3 GB while it lasts)"
  rm -rf "$folder"
  (build_collector "$folder") || result=1
  rm -rf "$folder"
  return $result
}
