# SPDX-License-Identifier: Apache-2.0
# Packages of any Debian suite, whichever this machine runs: apt brings them into the cache with lists of their own, and
# nothing is installed.
SUITES_FOLDER=$CACHE/apt

# suite_apt SUITE PROGRAM ARGUMENT…: apt-get or apt-cache on the lists that update_suite has brought.
suite_apt() {
  local suite=$1 program=$2
  shift 2
  "$program" -o "Dir::Etc::SourceList=$SUITES_FOLDER/$suite.list" -o Dir::Etc::SourceParts=/dev/null \
    -o "Dir::State::Lists=$SUITES_FOLDER/lists" -o "Dir::State::status=$SUITES_FOLDER/status" \
    -o "Dir::Cache=$SUITES_FOLDER" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root \
    -o APT::Get::List-Cleanup=false -o Debug::NoLocking=1 -o Acquire::Languages=none "$@"
}

update_suite() { # SUITE
  local suite=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 == "Debian" {print $1; exit}')
  mirror=${mirror:-${DEBIAN_MIRROR:-}}
  if [ -z "$mirror" ]; then
    echo "apt on this machine knows no Debian mirror: set DEBIAN_MIRROR to the URL of one" >&2
    return 1
  fi
  install_packages debian-archive-keyring
  mkdir -p "$SUITES_FOLDER"/{lists/partial,archives/partial,debs}
  printf 'deb [signed-by=%s] %s %s main contrib\n' "$keyring" "$mirror" "$suite" >"$SUITES_FOLDER/$suite.list"
  : >"$SUITES_FOLDER/status"
  suite_apt "$suite" apt-get -qq update
}

# A folder to unpack into in which /lib is /usr/lib, wherever a package of any age puts its files.
make_root() { # FOLDER
  mkdir -p "$1"/{usr/{bin,lib,lib64,sbin},tmp,proc,dev,etc}
  for link in bin lib lib64 sbin; do [ -e "$1/$link" ] || ln -s "usr/$link" "$1/$link"; done
}

# unpack_package SUITE PACKAGE FOLDER: its dependencies are not followed.
unpack_package() {
  local file
  file=$(suite_apt "$1" apt-get -qq --print-uris download "$2" | awk '{print $2; exit}')
  [ -n "$file" ] || return 1
  file=$SUITES_FOLDER/debs/$file
  [ -s "$file" ] || (cd "$SUITES_FOLDER/debs" && suite_apt "$1" apt-get -qq download "$2") || return 1
  dpkg -x "$file" "$3" && rm "$file"
}

# fetch_suite SUITE FOLDER PACKAGE…: unpacks packages of a suite as it is today.
fetch_suite() {
  local suite=$1 folder=$2 package
  shift 2
  update_suite "$suite" || return 1
  make_root "$folder"
  for package in "$@"; do unpack_package "$suite" "$package" "$folder" || return 1; done
}
