#!/bin/bash
# siw.ko (software iWARP; Debian ships it disabled), built out of tree for the guest's kernel from Debian's own headers
# and source: $RIG_WORK/extra/siw.ko, which build-kernel.sh takes along.
# Needs besides: make bc flex bison libelf-dev; downloads 150 MB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib-apt.sh"
apt_up
package=$(kernel_package)
ver=${package#linux-image-}                    # 6.1.0-56-amd64
base=${ver%-*-*} base=${base%.*}               # 6.1
common=${ver%-*}-common                        # 6.1.0-56-common
b=$work/siw.d
rm -rf "$b"
mkdir -p "$b"
for p in "linux-headers-$ver" "linux-headers-$common" "linux-kbuild-$base" "linux-source-$base"; do
  f=$(deb "$p")
  dpkg-deb -x "$f" "$b"
done
# the headers' Makefile and links name /usr/src and /usr/lib: point them here
h=$b/usr/src/linux-headers-$ver
sed -i "s|/usr/src/|$b/usr/src/|g" "$h/Makefile"
for l in "$h"/* "$b/usr/src/linux-headers-$common"/*; do
  [ -L "$l" ] || continue
  t=$(readlink "$l")
  case $t in *usr/lib/linux-kbuild*) ln -sfn "$b/usr/lib/${t##*usr/lib/}" "$l" ;; esac
done
tar -C "$b" -xf "$b/usr/src/linux-source-$base.tar.xz" --wildcards "linux-source-$base/drivers/infiniband/sw/siw/*"
s=$b/linux-source-$base/drivers/infiniband/sw/siw
# siw's settings are compile-time constants: make them module parameters (defaults unchanged)
for v in zcopy_tx try_gso loopback_enabled mpa_crc_required mpa_crc_strict siw_tcp_nagle peer_to_peer; do
  sed -i "s/^const bool $v\b\(.*;\)/bool $v\1\nmodule_param($v, bool, 0644);/" "$s/siw_main.c"
  sed -i "s/^extern const bool $v;/extern bool $v;/" "$s/siw.h"
done
sed -i 's/^u_char mpa_version\(.*;\)/u_char mpa_version\1\nmodule_param(mpa_version, byte, 0644);/' "$s/siw_main.c"
make -C "$h" M="$s" CONFIG_RDMA_SIW=m -j"$(nproc)" modules
mkdir -p "$work/extra"
cp "$s/siw.ko" "$work/extra/"
rm -rf "$b"
