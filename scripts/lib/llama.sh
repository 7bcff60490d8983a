# SPDX-License-Identifier: Apache-2.0
# A real llama-server without a download of weights: Debian's packages unpacked into a folder of the cache (nothing is
# installed), and models of random weights.
LLAMA_ROOT=$CACHE/llama
LLAMA_PACKAGES=(llama.cpp-tools libllama0 libggml0 libc6 libgcc-s1 libstdc++6 libgomp1 libssl3t64 libzstd1 zlib1g)

# fetch_suite SUITE FOLDER PACKAGE…: unpacks packages of another Debian suite. Dependencies are not followed.
fetch_suite() {
  local suite=$1 folder=$2 lists=$CACHE/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
  shift 2
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 == "Debian" {print $1; exit}')
  mirror=${mirror:-${DEBIAN_MIRROR:-}}
  if [ -z "$mirror" ]; then
    echo "apt on this machine knows no Debian mirror: set DEBIAN_MIRROR to the URL of one" >&2
    return 1
  fi
  install_packages debian-archive-keyring
  mkdir -p "$lists"/{lists/partial,archives/partial,debs} "$folder"/{usr/{bin,lib,lib64,sbin},tmp,proc,dev,etc,models}
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" >"$lists/$suite.list"
  : >"$lists/status"
  local options=(-o "Dir::Etc::SourceList=$lists/$suite.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$lists/lists" -o "Dir::State::status=$lists/status" -o "Dir::Cache=$lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 -o APT::Sandbox::User=root
    -o Acquire::Languages=none)
  apt-get "${options[@]}" -qq update || return 1
  for link in bin lib lib64 sbin; do [ -e "$folder/$link" ] || ln -s "usr/$link" "$folder/$link"; done
  (
    cd "$lists/debs" || exit 1
    for package in "$@"; do
      file=$(apt-get "${options[@]}" -qq --print-uris download "$package" | awk '{print $2; exit}')
      [ -n "$file" ] || exit 1
      [ -s "$file" ] || apt-get "${options[@]}" -qq download "$package" || exit 1
      dpkg -x "$file" "$folder" || exit 1
    done
  )
}

# make_model NAME [make_gguf.py options…]: a model of random weights, made once.
make_model() {
  local name=$1
  shift
  [ -s "$LLAMA_ROOT/models/$name.gguf" ] && return 0
  say "making the model $name of random weights"
  python3 "$ROOT/tests/support/make_gguf.py" "$LLAMA_ROOT/models/$name.gguf.part" --name "$name" "$@" >/dev/null &&
    mv "$LLAMA_ROOT/models/$name.gguf.part" "$LLAMA_ROOT/models/$name.gguf"
}

prepare_llama() {
  if [ ! -x "$LLAMA_ROOT/usr/bin/llama-server" ]; then
    say "fetching llama-server (50 MB, Debian's packages; nothing is installed)"
    rm -rf "$LLAMA_ROOT.part"
    fetch_suite sid "$LLAMA_ROOT.part" "${LLAMA_PACKAGES[@]}" || return 1
    mkdir -p "$CACHE" && rm -rf "$LLAMA_ROOT" && mv "$LLAMA_ROOT.part" "$LLAMA_ROOT" || return 1
  fi
  make_model tiny --layers 2 --dim 64 --ff 128 --heads 4 --kv 4 --vocab 2000
}
prepare_medium_model() {
  make_model medium --layers 12 --dim 768 --ff 2048 --heads 12 --kv 4 --vocab 32000
}
prepare_large_model() {
  make_model large --layers 16 --dim 1152 --ff 3072 --heads 12 --kv 4 --vocab 32000
}
