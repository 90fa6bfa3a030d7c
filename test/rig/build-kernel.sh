#!/bin/bash
# Debian's stock kernel for the guest: $RIG_WORK/vmlinux, modules.qcow2 and initrd. Nothing is installed on the host.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib-apt.sh"
apt_up
kd=$work/kernel.d out=$work/modules.d
rm -rf "$kd" "$out"
mkdir -p "$kd"
dpkg-deb -x "$(deb "$(kernel_package)")" "$kd"
ver=$(ls "$kd/lib/modules")
depmod -b "$kd" "$ver"

# 1. An uncompressed ELF (qemu boots it through its PVH note): saves the guest from unpacking xz under emulation.
#    Where it lies: setup_sects at 0x1f1, payload_offset and payload_length at 0x248 of the boot header.
bz=$kd/boot/vmlinuz-$ver
at() { od -An -v "-t$1" -j "$2" -N "$3" "$bz"; }
read -r sectors <<< "$(at u1 0x1f1 1)"
read -r offset length <<< "$(at u4 0x248 8)"
start=$(((sectors + 1) * 512 + offset))
payload() { dd if="$bz" iflag=skip_bytes,count_bytes skip=$start count=$((length - 4)) bs=1M status=none; }   # 4: unpacked size
case $(at x1 $start 4 | tr -d ' ') in
  fd377a58) unpack='xz -dc' ;; 28b52ffd) unpack='zstd -dcq' ;; 1f8b*) unpack='gzip -dc' ;; 7f454c46) unpack=cat ;;
  *) echo "unknown kernel payload" >&2; exit 1 ;;
esac
payload | $unpack > "$work/vmlinux"

# 2. The modules the tests use, closed over their dependencies.
mkdir -p "$out/lib/modules/$ver"
cp "$kd/lib/modules/$ver"/modules.{builtin,builtin.modinfo,order} "$out/lib/modules/$ver/"
cd "$kd/lib/modules/$ver"
for want in $(sed 's/#.*//' "$here/modules.txt"); do
  if [ -d "kernel/$want" ]; then find "kernel/$want" -name '*.ko' -printf '%f\n' | sed 's/\.ko$//'; else echo "$want"; fi
done | sort -u > "$work/modules.wanted"
while read -r m; do modprobe -d "$kd" -S "$ver" --show-depends "$m" 2>/dev/null || echo "no module $m" >&2; done \
  < "$work/modules.wanted" | awk '$1 == "insmod" { print $2 }' | sed "s|.*/modules/$ver/||" | sort -u |
  xargs cp --parents -t "$out/lib/modules/$ver"
if ls "$work/extra"/*.ko > /dev/null 2>&1; then cp -r "$work/extra" "$out/lib/modules/$ver/"; fi     # build-siw.sh
depmod -b "$out" "$ver"
kib=$(du -sk "$out/lib/modules" | cut -f1)
mke2fs -q -t ext4 -O ^has_journal,^metadata_csum,^resize_inode -m 0 -L rig-modules -d "$out/lib/modules" \
  "$work/modules.raw" "$((kib + kib / 5 + 8192))k"
qemu-img convert -c -O qcow2 "$work/modules.raw" "$work/modules.qcow2"

# 3. A small initrd: busybox and what it takes to mount the root disk. crc32c is looked up by name at run time.
i=$work/initrd.d
rm -rf "$i"
mkdir -p "$i"/{bin,dev,proc,sys,new,mod}
cp "$(command -v busybox)" "$i/bin/busybox"
for m in crc32c_generic virtio_pci virtio_blk ext4 virtio_console virtio_net configfs; do
  modprobe -d "$out" -S "$ver" --show-depends "$m" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r f; do
  cp "$f" "$i/mod/"
  basename "$f" >> "$i/mod/list"
done
(cd "$i" && find . | cpio -o -H newc --quiet) > "$work/initrd"
rm -rf "$kd" "$out" "$i" "$work/modules.raw" "$work/modules.wanted"
