# SPDX-License-Identifier: Apache-2.0
# Debian's kernels for vagrant/run-kernel: of each, the cache keeps the image and the few modules that it boots with.
source "$ROOT/scripts/lib/debian.sh"
KERNEL_SUITES=(bullseye bookworm trixie sid) # 5.10, 6.1, 6.12, and the newest that there is
KERNEL_PACKAGES=(qemu-system-x86 busybox-static cpio kmod xz-utils)
KERNEL_MODULES=(virtio_pci 9pnet_virtio 9p overlay)

kernel_folder() { echo "$CACHE/kernels/$1"; } # SUITE

# unpack_kernel DEB FOLDER: makes image, version and modules, named in the order in which they are to be loaded.
unpack_kernel() {
  local folder=$2 root=$2/root module file number=10
  make_root "$root" && mkdir "$folder/modules" && dpkg -x "$1" "$root" || return 1
  ls "$root/lib/modules" >"$folder/version"
  mv "$root"/boot/vmlinuz-* "$folder/image" && depmod -b "$root" "$(<"$folder/version")" || return 1
  for module in "${KERNEL_MODULES[@]}"; do
    # Nothing is to be loaded of one that is built in.
    modprobe -d "$root" -S "$(<"$folder/version")" --show-depends "$module" || return 1
  done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' >"$folder/order"
  [ "${PIPESTATUS[0]}" = 0 ] || return 1
  while read -r file; do
    module=$((number++))-$(basename "${file%.xz}")
    case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$folder/modules/$module" || return 1
  done <"$folder/order"
  rm -rf "$root" "$folder/order"
}

fetch_kernel() { # SUITE FOLDER
  local package deb result=0
  update_suite "$1" || return 1
  package=$(suite_apt "$1" apt-cache depends linux-image-amd64 | awk '$2 ~ /^linux-image-/ {print $2; exit}')
  if [ -z "$package" ]; then
    echo "$1 has no package linux-image-amd64 on the mirror that apt uses here" >&2
    return 1
  fi
  deb=$(download_package "$1" "$package") || return 1
  rm -rf "$2" && mkdir -p "$2" && unpack_kernel "$deb" "$2" || result=1
  rm -f "$deb"
  return $result
}

# prepare_kernel SUITE: once fetched it stays the same, until its folder is removed.
prepare_kernel() {
  local folder
  folder=$(kernel_folder "$1")
  (install_packages "${KERNEL_PACKAGES[@]}") || return 1
  [ ! -e "$folder/version" ] || return 0
  say "fetching $1's kernel (about 100 MB, Debian's package; it is not installed)"
  (fetch_kernel "$1" "$folder.part" && rm -rf "$folder" && mv "$folder.part" "$folder") || { rm -rf "$folder.part"; return 1; }
}
