# SPDX-License-Identifier: Apache-2.0
# A real OpenTelemetry Collector, built from Debian's Go packages. Nothing is installed, and of the 2.3 GB that they
# unpack to only the program is kept.
COLLECTOR=$CACHE/otel-collector
COLLECTOR_SOURCE=$ROOT/tests/system/collector/main.go

# suite_dependencies SUITE PACKAGE PATTERN: the package and all that it needs, directly or not, whose name matches.
# fetch_suite has brought the suite's lists.
suite_dependencies() {
  local lists=$CACHE/apt
  apt-cache -o "Dir::Etc::SourceList=$lists/$1.list" -o Dir::Etc::SourceParts=/dev/null \
    -o "Dir::State::Lists=$lists/lists" -o "Dir::State::status=$lists/status" -o "Dir::Cache=$lists" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$2" |
    grep -E "^$3" | LC_ALL=C sort -u
}

prepare_collector() {
  local folder=$CACHE/collector.part packages=() go
  [ ! -x "$COLLECTOR" ] || [ "$COLLECTOR_SOURCE" -nt "$COLLECTOR" ] || return 0
  say "building an OpenTelemetry Collector from Debian's packages (once; some minutes, 2.3 GB while it lasts)"
  rm -rf "$folder"
  (
    trap 'rm -rf "$folder"' EXIT
    fetch_suite sid "$folder" || exit 1 # the lists
    mapfile -t packages < <(suite_dependencies sid golang-opentelemetry-collector-dev 'golang-.*-dev$')
    mapfile -t -O "${#packages[@]}" packages < <(suite_dependencies sid golang-go 'golang-[0-9.]+-(go|src)$')
    say "collector: ${#packages[@]} packages"
    fetch_suite sid "$folder" "${packages[@]}" || exit 1
    go=$(find "$folder/usr/lib" -maxdepth 1 -name 'go-*' | LC_ALL=C sort -V | tail -1)
    [ -x "$go/bin/go" ] || exit 1
    install -D -m 644 "$COLLECTOR_SOURCE" "$folder/usr/share/gocode/src/collector/main.go"
    cd "$folder/usr/share/gocode/src/collector" || exit 1
    GO111MODULE=off GOPATH=$folder/usr/share/gocode GOROOT=$go GOFLAGS= CGO_ENABLED=0 GOCACHE=$folder/gocache \
      "$go/bin/go" build -o "$COLLECTOR.part" . || exit 1
    mv "$COLLECTOR.part" "$COLLECTOR"
  ) || return 1
  rm -f "$CACHE"/apt/debs/golang-*.deb
}
