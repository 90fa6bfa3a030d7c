/** The Linux kernel's initiator, in a virtual machine, uses our target as its users would. */
import assert from "node:assert/strict"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { statSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { type Guest, Rig } from "../rig/rig.ts"
import { MiB, Scratch } from "./serve.ts"
import { type KernelTarget, kernelTarget, standIn, type TargetOptions } from "./vm-target.ts"

let rig: Rig
let guest: Guest
const scratch = new Scratch()
const targets: KernelTarget[] = []

before(async () => {
  rig = await Rig.start()
  guest = await rig.boot({ modules: ["iscsi_tcp", "sd_mod", "sg"] })
})

after(async () => {
  for (const target of targets) await target.stop()
  await rig?.stop()
  scratch.remove()
})

/** Starts a target with no session or record left of the one before. */
async function startTarget(options: TargetOptions): Promise<KernelTarget> {
  await guest.run("iscsiadm -m node -u; iscsiadm -m node -o delete; iscsiadm -m discoverydb -o delete")
  const target = kernelTarget(rig, scratch, options)
  targets.push(target)
  await target.start()
  return target
}

const discover = (portal: string): Promise<string> => guest.sh(`iscsiadm -m discovery -t st -p ${portal}`)
const login = (iqn: string): Promise<string> => guest.sh(`iscsiadm -m node -T ${iqn} -l`)
const logout = (iqn: string): Promise<string> =>
  guest.sh(`iscsiadm -m node -T ${iqn} -u && iscsiadm -m node -T ${iqn} -o delete`)
const setKey = (iqn: string, key: string, value: string): Promise<string> =>
  guest.sh(`iscsiadm -m node -T ${iqn} -o update -n '${key}' -v '${value}'`)
const disk = (iqn: string, lun: number): Promise<string> => guest.sh(`rig-disk ${lun} ${iqn}`)

/** Blocks of the host's file system a file takes. */
const blocksOf = (path: string): number => statSync(path).blocks

describe("CHAP", () => {
  const iqn = "iqn.2026-01.org.example:chap"
  const user = { name: "kernel", secret: "one-way-secret-1" }
  const mutual = { name: "target", secret: "mutual-secret-22" }
  let target: KernelTarget

  before(async () => {
    target = await startTarget({ iqn, images: [scratch.image("chap.img", 16 * MiB)], chap: { user, mutual } })
  })
  after(() => target.stop())

  async function record(): Promise<void> {
    await guest.sh(`iscsiadm -m node -T ${iqn} -p ${target.portal} -o new`)
    await setKey(iqn, "node.session.auth.authmethod", "CHAP")
    await setKey(iqn, "node.session.auth.username", user.name)
    await setKey(iqn, "node.session.auth.password", user.secret)
  }

  test("nobody gets in without, nor with a wrong secret", async () => {
    await guest.sh(`iscsiadm -m node -T ${iqn} -p ${target.portal} -o new`)
    assert.equal((await guest.run(`iscsiadm -m node -T ${iqn} -l`)).code, 24) // ISCSI_ERR_LOGIN_AUTH_FAILED
    await record()
    await setKey(iqn, "node.session.auth.password", "not-this-secret")
    assert.equal((await guest.run(`iscsiadm -m node -T ${iqn} -l`)).code, 24)
  })

  for (const algorithm of ["MD5", "SHA1", "SHA256", "SHA3-256"]) {
    const lacking =
      standIn && algorithm.startsWith("SHA") && "tgtd only has MD5 and SHA1 of another numbering"
    test(`one-way with ${algorithm}`, { skip: lacking }, async () => {
      await record()
      await setKey(iqn, "node.session.auth.chap_algs", algorithm)
      await login(iqn)
      await guest.sh(`sg_inq $(rig-disk ${target.firstLun} ${iqn})`)
      await logout(iqn)
    })
  }

  test("mutual: the target proves itself, and is left when it can't", async () => {
    await record()
    await setKey(iqn, "node.session.auth.username_in", mutual.name)
    await setKey(iqn, "node.session.auth.password_in", mutual.secret)
    await login(iqn)
    await logout(iqn)
    await record()
    await setKey(iqn, "node.session.auth.username_in", mutual.name)
    await setKey(iqn, "node.session.auth.password_in", "another-secret-3")
    assert.notEqual((await guest.run(`iscsiadm -m node -T ${iqn} -l`)).code, 0)
  })

  test("discovery", { skip: standIn && "tgtd's discovery accounts are set otherwise" }, async () => {
    const database = `iscsiadm -m discoverydb -t st -p ${target.portal}`
    assert.notEqual((await guest.run(`iscsiadm -m discovery -t st -p ${target.portal}`)).code, 0)
    const key = "discovery.sendtargets.auth"
    await guest.sh(`${database} -o new; ${database} -o update -n ${key}.authmethod -v CHAP`)
    await guest.sh(
      `${database} -o update -n ${key}.username -v ${user.name} -n ${key}.password -v ${user.secret}`,
    )
    assert.match(await guest.sh(`${database} -D`), new RegExp(iqn))
    await guest.sh(`iscsiadm -m node -T ${iqn} -o delete`)
  })
})

describe("two disks", () => {
  const iqn = "iqn.2026-01.org.example:disks"
  const images: string[] = []
  let target: KernelTarget
  let ext4 = ""
  let xfs = ""

  before(async () => {
    images.push(scratch.image("ext4.img", 256 * MiB), scratch.image("xfs.img", 320 * MiB))
    target = await startTarget({ iqn, images })
  })
  after(() => target.stop())

  test("discovery finds the target", async () => {
    assert.match(await discover(target.portal), new RegExp(`^${target.portal},1 ${iqn}$`))
  })

  test("login with header and data digests", async () => {
    await setKey(iqn, "node.conn[0].iscsi.HeaderDigest", "CRC32C")
    await setKey(iqn, "node.conn[0].iscsi.DataDigest", "CRC32C")
    await login(iqn)
    const session = await guest.sh("iscsiadm -m session -P2")
    assert.match(session, /HeaderDigest: CRC32C/)
    assert.match(session, /DataDigest: CRC32C/)
    assert.match(session, /iSCSI Session State: LOGGED_IN/)
    ext4 = await disk(iqn, target.firstLun)
    xfs = await disk(iqn, target.firstLun + 1)
    assert.notEqual(ext4, xfs)
  })

  test("data written through digests comes back", async () => {
    await guest.sh(
      `head -c 8M /dev/urandom > /tmp/x && dd if=/tmp/x of=${ext4} bs=64k oflag=direct status=none`,
    )
    await guest.sh(`echo 3 > /proc/sys/vm/drop_caches; head -c 8M ${ext4} | cmp - /tmp/x`)
    await logout(iqn)
    await discover(target.portal)
    await login(iqn)
    ext4 = await disk(iqn, target.firstLun)
    xfs = await disk(iqn, target.firstLun + 1)
    assert.match(await guest.sh("iscsiadm -m session -P2"), /HeaderDigest: None/)
    await guest.sh(`head -c 8M ${ext4} | cmp - /tmp/x`)
  })

  for (const [kind, make, check, lun] of [
    ["ext4", "mkfs.ext4 -q", "fsck.ext4 -fn", 0],
    ["xfs", "mkfs.xfs -q -f", "xfs_repair -n", 1],
  ] as const) {
    test(`${kind}: make, mount, write, sync, read again, check`, async () => {
      const node = lun === 0 ? ext4 : xfs
      await guest.sh(`${make} ${node} && mkdir -p /mnt/${kind} && mount ${node} /mnt/${kind}`)
      await guest.sh(
        `cp -a /usr/bin /mnt/${kind}/ && dd if=/dev/urandom of=/mnt/${kind}/f bs=1M count=16 status=none && sync`,
      )
      const sums = `cd /mnt/${kind} && find . -type f | sort | xargs -d '\\n' md5sum | md5sum`
      const written = await guest.sh(sums)
      await guest.sh(
        `umount /mnt/${kind}; echo 3 > /proc/sys/vm/drop_caches; ${check} ${node} && mount ${node} /mnt/${kind}`,
      )
      assert.equal(await guest.sh(sums), written)
    })
  }

  test("fstrim gives the space of deleted files back to the host", async () => {
    const image = images[0] ?? ""
    const before = blocksOf(image)
    await guest.sh("rm -rf /mnt/ext4/bin /mnt/ext4/f && sync && fstrim -v /mnt/ext4")
    const freedBytes = (before - blocksOf(image)) * 512
    assert.ok(freedBytes > 16 * MiB, `${freedBytes} bytes were freed`)
    await guest.sh(`umount /mnt/ext4 && fsck.ext4 -fn ${ext4} && umount /mnt/xfs && xfs_repair -n ${xfs}`)
  })

  test("a killed target: the session recovers and every flushed byte is there", async () => {
    const load =
      "fio --name=load --rw=randwrite --bs=4k --size=16M --direct=1 --ioengine=libaio --iodepth=8 --fsync=16"
    const verify = "--verify=crc32c --verify_fatal=1 --rate_iops=,500 --randseed=7"
    const running = guest.run(`${load} ${verify} --filename=${ext4}`, { deadlineMs: 180_000 })
    await sleep(3000)
    await target.kill()
    await sleep(1500)
    await target.start()
    const { code, stdout, stderr } = await running
    assert.equal(code, 0, stdout + stderr)
    const log = await guest.sh("dmesg | grep -c 'detected conn error'")
    assert.ok(Number(log) >= 1, "the kernel noticed nothing: the load was over before the kill")
    assert.match(await guest.sh("iscsiadm -m session -P2"), /iSCSI Session State: LOGGED_IN/)
    await logout(iqn)
    await discover(target.portal)
    await login(iqn)
    ext4 = await disk(iqn, target.firstLun)
    await guest.sh(`${load} ${verify} --verify_only --filename=${ext4}`, { deadlineMs: 180_000 })
  })

  test("logout", async () => {
    await logout(iqn)
    assert.equal((await guest.run("iscsiadm -m session")).code, 21) // ISCSI_ERR_NO_OBJS_FOUND
    assert.equal((await guest.run("rig-disk 0", { deadlineMs: 1000 })).code === 0, false)
  })
})

describe("a slow disk", { skip: standIn && "tgtd has no delay device" }, () => {
  const iqn = "iqn.2026-01.org.example:slow"
  let target: KernelTarget
  let node = ""

  before(async () => {
    target = await startTarget({
      iqn,
      images: [scratch.image("slow.img", 32 * MiB)],
      delaysMs: { read: 3000, write: 30_000 },
    })
    await discover(target.portal)
    // without pings: while one is under way, the kernel gives a late command more time
    await setKey(iqn, "node.conn[0].timeo.noop_out_interval", "0")
    await setKey(iqn, "node.conn[0].timeo.noop_out_timeout", "0")
    await login(iqn)
    node = await disk(iqn, target.firstLun)
    // scanning reads the disk for a partition table: wait for the slow reads to pass
    await guest.sh(`udevadm settle 2>/dev/null; cat ${node} | head -c 4096 | wc -c`)
  })
  after(async () => {
    await logout(iqn)
    await target.stop()
  })

  const taskManagement = async (): Promise<number> => {
    const statistics = await guest.sh("iscsiadm -m session -s")
    return Number(/tmfcmd_pdus: (\d+)/.exec(statistics)?.[1] ?? Number.NaN)
  }

  test("LUN reset while reads are outstanding: they are done again and succeed", async () => {
    const before = await taskManagement()
    const reading = guest.run(`dd if=${node} of=/dev/null bs=64k count=4 skip=64 iflag=direct`)
    await sleep(1000)
    await guest.sh(`sg_reset -d ${node}`)
    assert.ok((await taskManagement()) > before, "no task management function was sent")
    const { code, stderr } = await reading
    assert.equal(code, 0, stderr)
  })

  test("a command that takes too long is aborted by the error handler, and the disk stays usable", async () => {
    const before = await taskManagement()
    const settings = `/sys/block/${node.replace("/dev/", "")}/device`
    await guest.sh(`echo 1 > ${settings}/timeout; echo 5 > ${settings}/eh_timeout`)
    const written = await guest.run(`dd if=/dev/zero of=${node} bs=4k count=1 seek=999 oflag=direct`, {
      deadlineMs: 180_000,
    })
    assert.notEqual(written.code, 0, "a write of 30 s should not get through a timeout of 1 s")
    assert.ok((await taskManagement()) > before, "no task management function was sent")
    await guest.sh(`echo 60 > ${settings}/timeout`)
    assert.equal(await guest.sh(`cat ${settings}/state`), "running")
    await guest.sh(`dd if=${node} of=/dev/null bs=4k count=1 skip=999 iflag=direct`)
  })
})

describe("a disk that its program resizes", { skip: standIn && "it is a program of ours" }, () => {
  const iqn = "iqn.2026-01.org.example:growing"
  let program: ChildProcess
  let image = ""

  before(async () => {
    image = scratch.image("growing.img", 64 * MiB)
    await guest.run("iscsiadm -m node -u; iscsiadm -m node -o delete")
    const address = rig.network.hostAddress()
    const script = fileURLToPath(new URL("growing-target.ts", import.meta.url))
    const args = ["--import", "tsx", script, address, iqn, image]
    program = rig.network.spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] })
    assert.match(await said(), /^ready/)
    await discover(`${address}:3260`)
    await login(iqn)
  })
  after(async () => {
    await logout(iqn)
    program.stdin?.end()
    await once(program, "exit")
  })

  const said = async (): Promise<string> =>
    String(((await once(program.stdout ?? program, "data")) as [Buffer])[0])

  test("the new size is seen after a rescan, and the data is there", async () => {
    const node = await disk(iqn, 0)
    const bytes = async (): Promise<number> => Number(await guest.sh(`blockdev --getsize64 ${node}`))
    await guest.sh(
      `mkfs.ext4 -q ${node} && mount ${node} /mnt && head -c 5M /dev/urandom > /mnt/f && md5sum /mnt/f > /tmp/sum`,
    )
    assert.equal(await bytes(), 64 * MiB)
    program.stdin?.write(`${96 * MiB}\n`)
    assert.match(await said(), /^resized/)
    await guest.sh("iscsiadm -m session -R")
    assert.equal(await bytes(), 96 * MiB)
    await guest.sh(`resize2fs ${node} && md5sum -c /tmp/sum && umount /mnt && fsck.ext4 -fn ${node}`)
    assert.equal(statSync(image).size, 96 * MiB)
  })
})
