/** Media in the hands of the Linux kernel: discs in a drive, a removable disk, and a disk that gives space back. */
import assert from "node:assert/strict"
import { statSync, truncateSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { MiB } from "./serve.ts"
import { type Disc, makeDisc, ReconfiguredTarget } from "./vm-disc.ts"
import { KernelInitiator } from "./vm-kernel.ts"

const iqn = "iqn.2026-01.org.example:media"
const [CD, STICK, THIN] = [0, 1, 2]
const DVD_BYTES = 800 * MiB
/** Where holes begin and end, the host's file system may have to note down more. */
const METADATA_BYTES = 64 * 1024

const kernel = new KernelInitiator("tcp")
const media: { cd: string | undefined; stick: string | undefined } = { cd: undefined, stick: undefined }
let target: ReconfiguredTarget
let first: Disc
let second: Disc
let stick = ""
let other = ""
let thin = ""

const file = (path: string | undefined) => path !== undefined && { device: { type: "file", path } }
const luns = () => [
  { lun: CD, type: "cdrom", serial: "CD", ...file(media.cd) },
  { lun: STICK, removable: true, serial: "STICK", ...file(media.stick) },
  { lun: THIN, serial: "THIN", ...file(thin) },
]

/** Changes what lies in the drives. */
async function insert(change: Partial<typeof media>, says: RegExp): Promise<void> {
  Object.assign(media, change)
  await target.takeUp(luns(), says)
}

const sh = (command: string): Promise<string> => kernel.guest.sh(command, { deadlineMs: 60_000 })

/** Waits for a command of the guest to succeed. */
const until = (command: string): Promise<string> =>
  sh(
    `for i in $(seq 150); do { ${command}; } && exit 0; sleep 0.1; done; echo 'never: ${command}' >&2; exit 1`,
  )

/** Runs what must fail, and returns what it said. */
async function refused(command: string): Promise<string> {
  const { code, stdout, stderr } = await kernel.guest.run(command)
  assert.notEqual(code, 0, `${command} has succeeded: ${stdout}`)
  return stdout + stderr
}

const kernelEvents = async (property: string): Promise<number> =>
  Number(await sh(`grep -c '^${property}=1' /tmp/events; true`))

before(async () => {
  await kernel.start()
  const { scratch } = kernel
  first = await makeDisc(scratch, "FIRST")
  second = await makeDisc(scratch, "SECOND")
  truncateSync(second.path, DVD_BYTES) // longer than a CD gets
  stick = scratch.image("stick.img", 64 * MiB)
  other = scratch.image("other.img", 96 * MiB)
  thin = scratch.image("thin.img", 256 * MiB)
  Object.assign(media, { cd: first.path, stick })
  await sh("modprobe -a sr_mod isofs udf && mkdir -p /media/cd /media/stick /media/thin")
  await sh("echo 0 > /proc/sys/dev/cdrom/autoclose") // whoever looks at an empty drive doesn't load it
  await sh("(udevadm monitor --kernel --property --subsystem-match=block > /tmp/events 2>&1 < /dev/null &)")
  target = new ReconfiguredTarget(kernel, iqn)
  await target.start(luns())
  await kernel.guest.write("/tmp/first", first.sums)
  await kernel.guest.write("/tmp/second", second.sums)
})
after(async () => {
  await target?.stop()
  await kernel.stop()
})

describe("a CD-ROM drive", () => {
  const sizeOf = async (): Promise<number> => Number(await sh("blockdev --getsize64 /dev/sr0"))
  const readDisc = (sums: string, type: "iso9660" | "udf" = "iso9660"): Promise<string> =>
    sh(
      `mount -t ${type} -o ro /dev/sr0 /media/cd && cd /media/cd && sha256sum --quiet -c ${sums}; code=$?; cd /; umount /media/cd && exit $code`,
    )
  /** The profile GET CONFIGURATION tells of, and where READ TOC has the only track begin and the lead-out. */
  async function disc(): Promise<{ profile: string; tracks: number; leadOut: number }> {
    const configuration = await sh("sg_get_config --current /dev/sr0")
    const dump = await sh(
      "sg_raw -b -r 20 /dev/sr0 43 00 00 00 00 00 00 00 14 00 2> /dev/null | od -An -v -tx1",
    )
    const toc = Buffer.from(dump.replaceAll(/\s/g, ""), "hex")
    assert.deepEqual([toc.readUInt16BE(0), toc[6], toc[14]], [18, 1, 0xaa], dump)
    return {
      profile: /Current[^\n]*?: ([\w-]+)/i.exec(configuration)?.[1] ?? configuration,
      tracks: toc[3]!,
      leadOut: toc.readUInt32BE(16),
    }
  }

  test("is /dev/sr0 with a CD-ROM in it", async () => {
    assert.equal(await kernel.disk(iqn, CD), "/dev/sr0")
    assert.equal(await sh("cat /sys/block/sr0/removable /sys/block/sr0/ro"), "1\n1")
    assert.match(await sh("cat /proc/sys/dev/cdrom/info"), /Can read DVD:\s+1\n/)
    assert.equal(await sizeOf(), first.sizeBytes)
    assert.deepEqual(await disc(), { profile: "CD-ROM", tracks: 1, leadOut: first.sizeBytes / 2048 })
    assert.equal(await sh("blkid -p -o value -s LABEL /dev/sr0"), "FIRST")
  })

  for (const type of ["iso9660", "udf"] as const) {
    test(`its files as ${type}`, async () => {
      await readDisc("/tmp/first", type)
    })
  }

  test("mounted it is kept in: eject, START STOP UNIT and the operator are refused", async () => {
    // What the first look at the drive finds is a change, too.
    await sh("echo 200 > /sys/block/sr0/events_poll_msecs; sleep 2")
    await sh("mount -o ro /dev/sr0 /media/cd")
    // Without anybody in it eject would unmount it first, and as root let go of the door.
    assert.match(await refused("cd /media/cd && eject /dev/sr0"), /target is busy/)
    assert.match(await refused("sg_start -v --eject /dev/sr0"), /Medium removal prevented/i)
    const changes = await kernelEvents("DISK_MEDIA_CHANGE")
    await insert({ cd: second.path }, /not changed: the medium is kept in by iqn\.2026-01\.org\.example:g1 /)
    await until("grep -q '^DISK_EJECT_REQUEST=1' /tmp/events")
    await sh("echo 3 > /proc/sys/vm/drop_caches; cd /media/cd && sha256sum --quiet -c /tmp/first")
    assert.equal(await kernelEvents("DISK_MEDIA_CHANGE"), changes)
    media.cd = first.path
  })

  test("unmounted it is ejected, and loaded again", async () => {
    const changes = await kernelEvents("DISK_MEDIA_CHANGE")
    await sh("umount /media/cd && eject /dev/sr0")
    assert.match(await refused("blockdev --getsize64 /dev/sr0"), /No medium found/)
    assert.match(await refused("sg_turs -v /dev/sr0"), /Medium not present - tray open/i)
    await sh("eject --trayclose /dev/sr0")
    await until(`[ $(grep -c '^DISK_MEDIA_CHANGE=1' /tmp/events) -gt ${changes} ]`)
    await readDisc("/tmp/first")
  })

  test("another disc that the operator puts in is noticed, and is the one that is read", async () => {
    const before = await kernelEvents("DISK_MEDIA_CHANGE")
    await insert({ cd: second.path }, /the medium is .*SECOND\.iso now/)
    await until(`[ $(grep -c '^DISK_MEDIA_CHANGE=1' /tmp/events) -gt ${before} ]`)
    assert.equal(await sizeOf(), DVD_BYTES)
    assert.deepEqual(await disc(), { profile: "DVD-ROM", tracks: 1, leadOut: DVD_BYTES / 2048 })
    await readDisc("/tmp/second")
    await readDisc("/tmp/second", "udf")
  })

  test("taken out by the operator there is none, until one is put in", async () => {
    await insert({ cd: undefined }, /the medium was taken out/)
    assert.match(await refused("mount -o ro /dev/sr0 /media/cd"), /no medium found/i)
    assert.match(await refused("sg_turs -v /dev/sr0"), /Medium not present - tray closed/i)
    await insert({ cd: first.path }, /the medium is .*FIRST\.iso now/)
    await readDisc("/tmp/first")
    assert.equal(await sizeOf(), first.sizeBytes)
  })
})

describe("a removable disk", () => {
  let node = ""
  /** Opening the other one has the kernel keep the medium in. */
  let generic = ""
  const sizeOf = async (): Promise<number> => Number(await sh(`blockdev --getsize64 ${node}`))

  test("keeps its medium while it is mounted, whoever wants it", async () => {
    node = await kernel.disk(iqn, STICK)
    generic = await sh(`echo /dev/$(ls /sys/block/${node.slice(5)}/device/scsi_generic)`)
    assert.equal(await sh(`cat /sys/block/${node.slice(5)}/removable`), "1")
    await sh(`mkfs.ext4 -q ${node} && mount ${node} /media/stick && head -c 8M /dev/urandom > /media/stick/f`)
    await sh("sync && sha256sum /media/stick/f > /tmp/stick")
    await insert({ stick: other }, /not changed: the medium is kept in by iqn\.2026-01\.org\.example:g1 /)
    assert.match(await refused(`sg_start -v --eject ${generic}`), /Medium removal prevented/i)
    await sh(
      "echo 3 > /proc/sys/vm/drop_caches; sha256sum -c /tmp/stick && cp /media/stick/f /media/stick/g && sync",
    )
    await sh("umount /media/stick")
  })

  test("unmounted it is changed for one of another size, and back", async () => {
    await insert({ stick: other }, /the medium is .*other\.img now/)
    assert.equal(await sizeOf(), 96 * MiB)
    await sh(
      `mkfs.ext4 -q ${node} && mount ${node} /media/stick && ! [ -e /media/stick/f ] && umount /media/stick`,
    )
    await insert({ stick }, /the medium is .*stick\.img now/)
    assert.equal(await sizeOf(), 64 * MiB)
    await sh(`fsck.ext4 -fn ${node} && mount ${node} /media/stick && sha256sum -c /tmp/stick`)
    await sh("cmp /media/stick/f /media/stick/g && umount /media/stick")
  })

  test("is ejected and loaded by the kernel's user", async () => {
    await sh(`eject ${node}`)
    assert.match(await refused(`blockdev --getsize64 ${node}`), /No medium found/)
    await sh(
      `sg_start --load ${generic} && mount ${node} /media/stick && sha256sum -c /tmp/stick && umount /media/stick`,
    )
    await insert({ stick: undefined }, /the medium was taken out/)
    assert.match(await refused(`dd if=${node} of=/dev/null count=1`), /No medium found/)
  })
})

describe("a thin disk", () => {
  let node = ""
  /** What the host's file system has allocated for it. */
  const usedBytes = (): number => statSync(thin).blocks * 512
  const freed = async (command: string): Promise<number> => {
    const before = usedBytes()
    await sh(command)
    return before - usedBytes()
  }
  const zeroes = (offsetMiB: number, countMiB: number): string =>
    `dd if=${node} bs=1M skip=${offsetMiB} count=${countMiB} iflag=direct status=none | cmp -n ${countMiB * MiB} - /dev/zero`

  before(async () => {
    node = await kernel.disk(iqn, THIN)
  })

  test("blkdiscard and fallocate: what they free or zero reads as zeroes, the rest is as it was", async () => {
    await sh("head -c 32M /dev/urandom > /tmp/random")
    await sh(`dd if=/tmp/random of=${node} bs=1M oflag=direct status=none && sync`)
    assert.ok(usedBytes() >= 32 * MiB)
    for (const [command, atMiB, expectedBytes] of [
      ["blkdiscard", 4, 4 * MiB],
      ["blkdiscard --zeroout", 12, 0], // Linux has it keep its storage: WRITE SAME without UNMAP
      ["fallocate --punch-hole", 20, 4 * MiB],
    ] as const) {
      const freedBytes = await freed(`${command} --offset ${atMiB}M --length 4M ${node}`)
      assert.ok(
        Math.abs(freedBytes - expectedBytes) <= METADATA_BYTES,
        `${command}: ${freedBytes} bytes were freed`,
      )
      await sh(zeroes(atMiB, 4))
    }
    for (const atMiB of [0, 8, 16, 24]) {
      const part = `bs=1M skip=${atMiB} count=4 status=none`
      await sh(
        `dd if=${node} iflag=direct of=/tmp/read ${part} && dd if=/tmp/random ${part} | cmp - /tmp/read`,
      )
    }
    assert.match(await refused(`blkdiscard --secure ${node}`), /not supported/i)
    await sh(`blkdiscard ${node}`)
    assert.ok(usedBytes() <= METADATA_BYTES, `${usedBytes()} bytes are left`)
  })

  test("with ext4, fstrim and discard free what deleted files took, and no more", async () => {
    await sh(`mkfs.ext4 -q ${node} && mount ${node} /media/thin && cd /media/thin && mkdir keep drop`)
    await sh(
      "cd /media/thin && for i in $(seq 16); do head -c 2M /dev/urandom > keep/$i; head -c 2M /dev/urandom > drop/$i; done; sync; sha256sum keep/* > /tmp/keep",
    )
    const trimmed = await freed("cd /media/thin && rm drop/[1-8] && sync && fstrim -v /media/thin")
    assert.ok(trimmed >= 15 * MiB && trimmed < 24 * MiB, `${trimmed} bytes were freed`)
    await sh("mount -o remount,discard /media/thin")
    const discarded = await freed("cd /media/thin && rm -r drop && sync && sleep 1 && sync")
    assert.ok(discarded >= 15 * MiB, `${discarded} bytes were freed`)
    await sh("echo 3 > /proc/sys/vm/drop_caches; cd /media/thin && sha256sum --quiet -c /tmp/keep")
    await sh(`umount /media/thin && fsck.ext4 -fn ${node}`)
  })
})
