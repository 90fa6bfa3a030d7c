#!/bin/bash
# Builds all images of the rig into $RIG_WORK.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${RIG_WORK:?the folder for the images}"
for t in mmdebstrap mke2fs qemu-img cpio busybox gcc xz zstd modprobe depmod dpkg-deb apt-get make bc flex bison; do
  command -v "$t" > /dev/null || { echo "missing: $t" >&2; bad=1; }
done
[ -z "${bad:-}" ] || exit 1
"$here/build-root.sh" > "$RIG_WORK/root.log" 2>&1 &
root=$!
"$here/build-siw.sh" > "$RIG_WORK/siw.log" 2>&1 || { tail -20 "$RIG_WORK/siw.log" >&2; kill $root; exit 1; }
"$here/build-kernel.sh" > "$RIG_WORK/kernel.log" 2>&1 || { tail -20 "$RIG_WORK/kernel.log" >&2; kill $root; exit 1; }
wait $root || { tail -20 "$RIG_WORK/root.log" >&2; exit 1; }
rm -rf "$RIG_WORK/dl" "$RIG_WORK/apt"
