# SPDX-License-Identifier: Apache-2.0
source "$ROOT/scripts/lib/debian.sh"
# Servers that tests need and nobody wants to have started: Debian's packages of them begin to serve when they are
# installed. So only the libraries that such a package needs are installed; itself, it is unpacked into the cache.
PROGRAMS=$CACHE/programs
PROGRAM_PACKAGES=(nghttp2-proxy nginx haproxy caddy)

libraries_of() { # PACKAGE
  apt-cache depends --important "$1" | awk '$1 == "Depends:" && $2 ~ /^(lib|zlib)/ {print $2}'
}

prepare_program() { # PACKAGE
  local folder=$PROGRAMS/$1 needs
  [ ! -e "$folder" ] || return 0
  needs=$(libraries_of "$1")
  [ -n "$needs" ] || { apt-get update -qq && needs=$(libraries_of "$1"); }
  [ -n "$needs" ] || return 1
  # shellcheck disable=SC2086
  (install_packages $needs) || return 1
  rm -rf "$folder.part" && mkdir -p "$folder.part/download" || return 1
  (cd "$folder.part/download" && apt-get -qq -o APT::Sandbox::User=root download "$1") || return 1
  dpkg -x "$folder.part"/download/*.deb "$folder.part" && rm -r "$folder.part/download" && mv "$folder.part" "$folder"
}

# The compiler of Debian 11, since programs that it builds call functions as no newer one's do.
prepare_old_go() {
  local folder=$PROGRAMS/golang-1.15
  [ ! -e "$folder" ] || return 0
  rm -rf "$folder.part"
  fetch_suite bullseye "$folder.part" golang-1.15-go golang-1.15-src && mv "$folder.part" "$folder"
}

# Of GPUs that are not here: the real ones, in which probes can be put all the same.
prepare_gpu_libraries() {
  local folder=$PROGRAMS/gpu-libraries
  [ ! -e "$folder" ] || return 0
  rm -rf "$folder.part"
  fetch_suite bookworm "$folder.part" libamdhip64-5 libhsa-runtime64-1 libze1 && mv "$folder.part" "$folder"
}

prepare_programs() {
  local package result=0
  prepare_old_go || result=1
  prepare_gpu_libraries || result=1
  for package in "${PROGRAM_PACKAGES[@]}"; do prepare_program "$package" || result=1; done
  return $result
}
