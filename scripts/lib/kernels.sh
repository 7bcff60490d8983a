# SPDX-License-Identifier: Apache-2.0
# Debian's kernels for vagrant/run-kernel: of each, the cache keeps the image and the few modules that it boots with. Of
# these, vgem is a driver without a GPU, and gpu-sched what those of real ones schedule with.
source "$ROOT/scripts/lib/debian.sh"
KERNEL_SUITES=(bullseye bookworm trixie sid) # 5.10, 6.1, 6.12, and the newest that there is
KERNEL_PACKAGES=(qemu-system-x86 busybox-static cpio kmod xz-utils)
KERNEL_MODULES=(virtio_pci 9pnet_virtio 9p overlay vgem gpu-sched)

kernel_folder() { echo "$CACHE/kernels/$1"; } # SUITE

# kernel_packages SUITE: what the kernel's files lie in, which is several packages in the newer suites.
kernel_packages() {
  local image
  image=$(suite_apt "$1" apt-cache depends linux-image-amd64 | awk '$2 ~ /^linux-image-/ {print $2; exit}')
  if [ -z "$image" ]; then
    echo "$1 has no package linux-image-amd64 on the mirror that apt uses here" >&2
    return 1
  fi
  echo "$image"
  suite_apt "$1" apt-cache depends "$image" | awk '$1 == "Depends:" && $2 ~ /^linux-(base|binary|modules)-/ {print $2}'
}

# keep_what_boots ROOT FOLDER: image, version, and the modules, named in the order in which they are to be loaded.
keep_what_boots() {
  local root=$1 folder=$2 version module file number=10
  version=$(ls "$root/lib/modules") && depmod -b "$root" "$version" && mkdir "$folder/modules" || return 1
  mv "$root"/boot/vmlinuz-* "$folder/image" 2>/dev/null || mv "$root/lib/modules/$version/vmlinuz" "$folder/image" || return 1
  for module in "${KERNEL_MODULES[@]}"; do # of one that is built in, no file is told
    modprobe -d "$root" -S "$version" --show-depends "$module" >>"$folder/order" || return 1
  done
  while read -r file; do
    module=$folder/modules/$((number++))-$(basename "${file%.xz}")
    case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$module" || return 1
  done < <(awk '$1 == "insmod" && !seen[$2]++ {print $2}' "$folder/order")
  rm "$folder/order"
  echo "${KERNEL_MODULES[*]}" >"$folder/has"
  echo "$version" >"$folder/version"
}

fetch_kernel() { # SUITE FOLDER
  local packages package
  update_suite "$1" && packages=$(kernel_packages "$1") && make_root "$2/root" || return 1
  for package in $packages; do unpack_package "$1" "$package" "$2/root" || return 1; done
  keep_what_boots "$2/root" "$2" && rm -rf "$2/root"
}

# prepare_kernel SUITE: once fetched it stays the same, until its folder is removed or more modules are wanted of it.
prepare_kernel() {
  local folder
  folder=$(kernel_folder "$1")
  mkdir -p "$CACHE/kernels"
  (
    flock 9 # several may begin at once
    install_packages "${KERNEL_PACKAGES[@]}"
    [ "$(cat "$folder/has" 2>/dev/null)" != "${KERNEL_MODULES[*]}" ] || exit 0
    say "fetching $1's kernel (about 100 MB, Debian's package; it is not installed)"
    rm -rf "$folder.part" "$folder"
    fetch_kernel "$1" "$folder.part" && mv "$folder.part" "$folder" && exit 0
    rm -rf "$folder.part"
    exit 1
  ) 9>"$CACHE/kernels/lock"
}
