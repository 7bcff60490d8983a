# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing need from the distribution's packages: Debian 12 or later, Ubuntu 24.04 or later.
BUILD_PACKAGES=(g++ cmake ninja-build pkg-config clang llvm python3 git ca-certificates
  libbpf-dev libelf-dev zlib1g-dev libzstd-dev libbrotli-dev protobuf-compiler libprotobuf-dev libyaml-cpp-dev
  libnghttp2-dev libcapstone-dev libcli11-dev libspdlog-dev libfmt-dev rapidjson-dev libevent-dev libssl-dev libsqlite3-dev
  libgtest-dev libmsgpack-cxx-dev linux-libc-dev)
TEST_PACKAGES=(clang-format clang-tidy clpeak curl gnutls-bin golang-go iproute2 libgrpc++-dev protobuf-compiler-grpc nghttp2-client
  ocl-icd-libopencl1 openssl pocl-opencl-icd procps python3-fastapi python3-msgpack python3-pycurl python3-uvicorn
  python3-zmq liburing-dev)

install_packages() { # package…
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "apt-get is missing" "install by hand: ${missing[*]}"
  say "installing ${#missing[@]} packages: ${missing[*]}"
  apt-get update -qq || die "apt-get update failed" "is the network up?"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "could not install ${missing[*]}"
}
