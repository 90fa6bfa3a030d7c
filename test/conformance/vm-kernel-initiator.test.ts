/** The Linux kernel's initiator, in a virtual machine, uses our target over TCP as its users would. */
import assert from "node:assert/strict"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { statSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { fileURLToPath } from "node:url"
import { MiB } from "./serve.ts"
import { KernelInitiator } from "./vm-kernel.ts"
import {
  chapScenario,
  EXT4,
  fileSystemScenario,
  killedTargetScenario,
  logoutScenario,
  pulledCableScenario,
  slowDiskScenario,
  XFS,
} from "./vm-kernel-scenarios.ts"
import { type KernelTarget, standIn } from "./vm-target.ts"

const kernel = new KernelInitiator("tcp")
before(() => kernel.start())
after(() => kernel.stop())

/** Blocks of the host's file system a file takes. */
const blocksOf = (path: string): number => statSync(path).blocks

describe("CHAP", () => chapScenario(kernel))

describe("two disks", () => {
  const iqn = "iqn.2026-01.org.example:disks"
  const images: string[] = []
  let target: KernelTarget
  let ext4 = ""
  let xfs = ""

  before(async () => {
    images.push(kernel.scratch.image("ext4.img", 256 * MiB), kernel.scratch.image("xfs.img", 320 * MiB))
    target = await kernel.startTarget({ iqn, images })
  })
  after(() => target.stop())

  test("discovery finds the target", async () => {
    assert.match(await kernel.discover(target.portal), new RegExp(`^${target.portal},1 ${iqn}$`))
  })

  test("login with header and data digests", async () => {
    await kernel.setKey(iqn, "node.conn[0].iscsi.HeaderDigest", "CRC32C")
    await kernel.setKey(iqn, "node.conn[0].iscsi.DataDigest", "CRC32C")
    await kernel.login(iqn)
    const session = await kernel.guest.sh("iscsiadm -m session -P2")
    assert.match(session, /HeaderDigest: CRC32C/)
    assert.match(session, /DataDigest: CRC32C/)
    assert.match(session, /iSCSI Session State: LOGGED_IN/)
    ext4 = await kernel.disk(iqn, target.firstLun)
    xfs = await kernel.disk(iqn, target.firstLun + 1)
    assert.notEqual(ext4, xfs)
  })

  test("data written through digests comes back", async () => {
    await kernel.guest.sh(
      `head -c 8M /dev/urandom > /tmp/x && dd if=/tmp/x of=${ext4} bs=64k oflag=direct status=none`,
    )
    await kernel.guest.sh(`echo 3 > /proc/sys/vm/drop_caches; head -c 8M ${ext4} | cmp - /tmp/x`)
    await kernel.logout(iqn)
    await kernel.discover(target.portal)
    await kernel.login(iqn)
    ext4 = await kernel.disk(iqn, target.firstLun)
    xfs = await kernel.disk(iqn, target.firstLun + 1)
    assert.match(await kernel.guest.sh("iscsiadm -m session -P2"), /HeaderDigest: None/)
    await kernel.guest.sh(`head -c 8M ${ext4} | cmp - /tmp/x`)
  })

  for (const [fileSystem, lun] of [
    [EXT4, 0],
    [XFS, 1],
  ] as const) {
    test(`${fileSystem.kind}: make, mount, write, sync, read again, check`, () =>
      fileSystemScenario(kernel, fileSystem, lun === 0 ? ext4 : xfs))
  }

  test("fstrim gives the space of deleted files back to the host", async () => {
    const image = images[0] ?? ""
    const before = blocksOf(image)
    await kernel.guest.sh("rm -rf /mnt/ext4/bin /mnt/ext4/f && sync && fstrim -v /mnt/ext4")
    const freedBytes = (before - blocksOf(image)) * 512
    assert.ok(freedBytes > 16 * MiB, `${freedBytes} bytes were freed`)
    await kernel.guest.sh(
      `umount /mnt/ext4 && fsck.ext4 -fn ${ext4} && umount /mnt/xfs && xfs_repair -n ${xfs}`,
    )
  })

  test("a killed target: the session recovers and every flushed byte is there", async () => {
    ext4 = await killedTargetScenario(kernel, target, iqn, ext4)
  })

  test("a pulled cable: the session recovers and every flushed byte is there", () =>
    pulledCableScenario(kernel, ext4))

  test("logout", () => logoutScenario(kernel, iqn))
})

describe("a slow disk", { skip: standIn && "tgtd has no delay device" }, () => slowDiskScenario(kernel))

describe("a disk that its program resizes", { skip: standIn && "it is a program of ours" }, () => {
  const iqn = "iqn.2026-01.org.example:growing"
  let program: ChildProcess
  let image = ""

  before(async () => {
    image = kernel.scratch.image("growing.img", 64 * MiB)
    await kernel.guest.run("iscsiadm -m node -u; iscsiadm -m node -o delete")
    const address = kernel.rig.network.hostAddress()
    const script = fileURLToPath(new URL("growing-target.ts", import.meta.url))
    const args = ["--import", "tsx", script, address, iqn, image]
    program = kernel.rig.network.spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] })
    assert.match(await said(), /^ready/)
    await kernel.discover(`${address}:3260`)
    await kernel.login(iqn)
  })
  after(async () => {
    await kernel.logout(iqn)
    program.stdin?.end()
    await once(program, "exit")
  })

  const said = async (): Promise<string> =>
    String(((await once(program.stdout ?? program, "data")) as [Buffer])[0])

  test("the new size is seen after a rescan, and the data is there", async () => {
    const node = await kernel.disk(iqn, 0)
    const bytes = async (): Promise<number> => Number(await kernel.guest.sh(`blockdev --getsize64 ${node}`))
    await kernel.guest.sh(
      `mkfs.ext4 -q ${node} && mount ${node} /mnt && head -c 5M /dev/urandom > /mnt/f && md5sum /mnt/f > /tmp/sum`,
    )
    assert.equal(await bytes(), 64 * MiB)
    program.stdin?.write(`${96 * MiB}\n`)
    assert.match(await said(), /^resized/)
    await kernel.guest.sh("iscsiadm -m session -R")
    assert.equal(await bytes(), 96 * MiB)
    await kernel.guest.sh(`resize2fs ${node} && md5sum -c /tmp/sum && umount /mnt && fsck.ext4 -fn ${node}`)
    assert.equal(statSync(image).size, 96 * MiB)
  })
})
