/** What stands behind the options in each command's help. Examples first: they are what most people look for. */

export const description = "A SAN in one process: serves disks over iSCSI, and uses those of others."

export const root = `
Examples:
  sanlet serve                                  a new 10 GiB disk, kept for the next time
  sanlet serve disk.img --size 100G             an image, created if it doesn't exist
  sanlet ls iscsi://192.0.2.1                   what is there
  sanlet copy vm.img iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0 --verify

URLs are libiscsi's: iscsi://[user[%secret]@]host[:port]/target-iqn/lun[?header_digest=crc32c&data_digest=crc32c];
iser:// instead demands iSER (RDMA; without a NIC for it made of software, over TCP). --transport auto takes TCP where
it is served, as software RDMA is never faster, and iSER where nothing else is.
Secrets may also come from LIBISCSI_CHAP_USERNAME and LIBISCSI_CHAP_PASSWORD (and _TARGET_ of these).

Exit codes: 0 success, 1 it failed, 2 wrong arguments or configuration, 3 copies differ, 130 interrupted.
NO_COLOR switches colours off; SANLET_DEBUG=1 shows where errors come from.`

export const serve = `
Prints one line "ready <iscsi-url>" per LUN when logins are accepted. Without IMAGE it serves disk.img in
$XDG_STATE_HOME/sanlet (or ~/.local/state/sanlet), 10 GiB unless --size says otherwise. Images become LUN 0, 1, 2, ...
of one target; a file whose name ends in .iso is put into a CD-ROM drive. SIGINT and SIGTERM stop it in order, a second
one at once. With --config, SIGHUP has it read the file again: media, sizes, access states and new LUNs change
while initiators are logged in.

Examples:
  sanlet serve
  sanlet serve system.img data.img --size 100G
  sanlet serve /dev/disk/by-id/ata-EXAMPLE --read-only
  sanlet serve installer.iso
  sanlet serve disk.img --listen 0.0.0.0:3260 --listen '[::]:3260' --target iqn.2026-01.org.example:disk
  sanlet serve --config san.yaml --log-level debug
  sanlet serve disk.img --listen 127.0.0.1:0 --json          any free port; JSON for programs`

export const discover = `
Examples:
  sanlet discover 192.0.2.1
  sanlet discover iscsi://alice%0123456789ab@[2001:db8::1]:3260 --json`

export const ls = `
Without URL it asks this machine (iscsi://127.0.0.1). MODE is rw or ro, and whether unmapped blocks are given back.

Examples:
  sanlet ls
  sanlet ls iscsi://192.0.2.1
  sanlet ls iscsi://192.0.2.1/iqn.2026-01.org.example:disk --json`

export const info = `
Examples:
  sanlet info iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0
  sanlet info 192.0.2.1/iqn.2026-01.org.example:disk/0 --hex
  sanlet info 'iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0?header_digest=crc32c'
  sanlet info iser://192.0.2.1/iqn.2026-01.org.example:disk/0`

export const copy = `
SRC and DST are iscsi:// URLs, files or block devices. Holes and zeroes are neither read nor written where that isn't
needed. A DST file that doesn't exist is created; a LUN must be large enough, and what lies behind is left alone.

Examples:
  sanlet copy vm.img iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0 --verify
  sanlet copy iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0 backup.img
  sanlet copy iscsi://old/iqn.2026-01.org.example:a/0 iscsi://new/iqn.2026-01.org.example:b/0`

export const bench = `
Only reads, unless --write says otherwise: writing destroys what is on the disk.

--compare has a session over each transport and measures them in turns, round by round, at several block sizes
(default: 4k,256k,1M; depth 8 from 64k on). It tells the CPU time of both sides per GiB: the target's when its process
runs on this machine.

Examples:
  sanlet bench iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0
  sanlet bench iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0 --depth 1 --block 1M --pattern sequential
  sanlet bench iscsi://192.0.2.1/iqn.2026-01.org.example:scratch/0 --write 30 --duration 1m --json
  sanlet bench iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0 --compare tcp,iser --chart compared.html`

export const checkConfig = `
Every error is told as file:line:column: key: what was expected.

Examples:
  sanlet check-config san.yaml
  sanlet check-config --schema > sanlet.schema.json      then, in the YAML file's first line:
                                                         # yaml-language-server: $schema=sanlet.schema.json`
