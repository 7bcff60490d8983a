# SPDX-License-Identifier: Apache-2.0
# A real llama-server without a download of weights: Debian's packages unpacked into a folder of the cache (nothing is
# installed), and models of random weights.
source "$ROOT/scripts/lib/debian.sh"
LLAMA_ROOT=$CACHE/llama
LLAMA_PACKAGES=(llama.cpp-tools libllama0 libggml0 libc6 libgcc-s1 libstdc++6 libgomp1 libssl3t64 libzstd1 zlib1g)

# make_model NAME [make_gguf.py options…]: a model of random weights, made once.
make_model() {
  local name=$1
  shift
  mkdir -p "$LLAMA_ROOT/models"
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
# For long prompts: little to compute for each token.
prepare_long_model() {
  make_model long --layers 2 --dim 256 --ff 512 --heads 4 --kv 4 --vocab 4000 --context 16384
}

# The back end for NVIDIA's GPUs, beside the server and not where it looks for back ends by itself: GGML_BACKEND_PATH
# names it. It needs libraries of NVIDIA's, or stand-ins for them (tests/support/gpu).
prepare_llama_cuda() {
  prepare_llama || return 1
  [ ! -d "$LLAMA_ROOT/cuda" ] || return 0
  say "fetching llama.cpp's back end for CUDA (Debian's package; nothing is installed)"
  rm -rf "$LLAMA_ROOT/cuda.part"
  fetch_suite sid "$LLAMA_ROOT/cuda.part" libggml0-backend-cuda && mv "$LLAMA_ROOT/cuda.part" "$LLAMA_ROOT/cuda"
}
# The same for Vulkan, with a driver that computes on the processor, and all that it needs (350 MB).
VULKAN_PACKAGES=(libggml0-backend-vulkan libvulkan1 mesa-vulkan-drivers libbsd0 libdisplay-info3 libdrm2 libedit2
  libelf1t64 libexpat1 libffi8 libllvm22 libmd0 libtinfo6 libwayland-client0 libx11-xcb1 libxau6 libxcb-dri3-0
  libxcb-present0 libxcb-randr0 libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libxcb1 libxdmcp6 libxml2-16 libxshmfence1 libz3-4)
prepare_llama_vulkan() {
  prepare_llama || return 1
  [ ! -d "$LLAMA_ROOT/vulkan" ] || return 0
  say "fetching llama.cpp's back end for Vulkan and lavapipe (Debian's packages; nothing is installed)"
  rm -rf "$LLAMA_ROOT/vulkan.part"
  fetch_suite sid "$LLAMA_ROOT/vulkan.part" "${VULKAN_PACKAGES[@]}" && mv "$LLAMA_ROOT/vulkan.part" "$LLAMA_ROOT/vulkan"
}
