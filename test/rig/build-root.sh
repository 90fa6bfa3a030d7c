#!/bin/bash
# The guest's root file system, a compressed qcow2: $RIG_WORK/root.qcow2, and the agent beside it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib-apt.sh"
gcc -O2 -Wall -static -o "$work/rig-agent" "$here/guest/agent.c"

root=$work/root.d
rm -rf "$root"
packages=$(sed 's/#.*//' "$here/packages.txt" | tr -s ' \n' ',' | sed 's/^,//; s/,$//')
exclude=()
for d in man doc info locale lintian fio; do exclude+=("--dpkgopt=path-exclude=/usr/share/$d/*"); done
mmdebstrap --variant=essential --format=directory --components=main --aptopt='APT::Install-Recommends "false"' \
  --aptopt='Acquire::Retries "3"' "${exclude[@]}" --include="$packages" "$suite" "$root" - < <(sources)

install -m755 "$work/rig-agent" "$root/usr/sbin/rig-agent"
# open-iscsi without systemd: iscsiadm starts the daemon itself
sed -i '/^iscsid.startup *=/d' "$root/etc/iscsi/iscsid.conf"
echo 'iscsid.startup = /usr/sbin/iscsid' >> "$root/etc/iscsi/iscsid.conf"
rm -f "$root/etc/iscsi/initiatorname.iscsi"      # written per guest at boot
: > "$root/etc/resolv.conf"
: > "$root/etc/fstab"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root/usr/lib/modules"
mkdir -p "$root/usr/lib/modules" "$root/mnt" "$root/var/target"

kib=$(du -sk --apparent-size "$root" | cut -f1)
mke2fs -q -t ext4 -O ^has_journal,^metadata_csum,^resize_inode -E root_owner=0:0,lazy_itable_init=1 -m 0 -L rig-root \
  -d "$root" "$work/root.raw" "$((kib + kib / 3 + 300 * 1024))k"      # the rest is room for the guest to write into
qemu-img convert -c -o compression_type=zstd -O qcow2 "$work/root.raw" "$work/root.qcow2"
rm -rf "$work/root.raw" "$root"
