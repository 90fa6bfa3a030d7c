/** What the kernel's initiator does with our target whatever carries it; each is the body of a describe(). */
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { setTimeout as sleep } from "node:timers/promises"
import { MiB } from "./serve.ts"
import type { KernelInitiator } from "./vm-kernel.ts"
import { type KernelTarget, standIn } from "./vm-target.ts"

/** open-iscsi's exit code: ISCSI_ERR_LOGIN_AUTH_FAILED. */
const LOGIN_AUTH_FAILED = 24

export function chapScenario(kernel: KernelInitiator): void {
  const iqn = "iqn.2026-01.org.example:chap"
  const user = { name: "kernel", secret: "one-way-secret-1" }
  const mutual = { name: "target", secret: "mutual-secret-22" }
  let target: KernelTarget

  before(async () => {
    const images = [kernel.scratch.image("chap.img", 16 * MiB)]
    target = await kernel.startTarget({ iqn, images, chap: { user, mutual } })
  })
  after(() => target.stop())

  const tryLogin = async (): Promise<number> => (await kernel.guest.run(`iscsiadm -m node -T ${iqn} -l`)).code

  async function record(): Promise<void> {
    await kernel.record(iqn, target.portal)
    await kernel.setKey(iqn, "node.session.auth.authmethod", "CHAP")
    await kernel.setKey(iqn, "node.session.auth.username", user.name)
    await kernel.setKey(iqn, "node.session.auth.password", user.secret)
  }

  test("nobody gets in without, nor with a wrong secret", async () => {
    await kernel.record(iqn, target.portal)
    assert.equal(await tryLogin(), LOGIN_AUTH_FAILED)
    await record()
    await kernel.setKey(iqn, "node.session.auth.password", "not-this-secret")
    assert.equal(await tryLogin(), LOGIN_AUTH_FAILED)
  })

  for (const algorithm of ["MD5", "SHA1", "SHA256", "SHA3-256"]) {
    const lacking =
      standIn && algorithm.startsWith("SHA") && "tgtd only has MD5 and SHA1 of another numbering"
    test(`one-way with ${algorithm}`, { skip: lacking }, async () => {
      await record()
      await kernel.setKey(iqn, "node.session.auth.chap_algs", algorithm)
      await kernel.login(iqn)
      await kernel.guest.sh(`sg_inq $(rig-disk ${target.firstLun} ${iqn})`)
      await kernel.logout(iqn)
    })
  }

  test("mutual: the target proves itself, and is left when it can't", async () => {
    await record()
    await kernel.setKey(iqn, "node.session.auth.username_in", mutual.name)
    await kernel.setKey(iqn, "node.session.auth.password_in", mutual.secret)
    await kernel.login(iqn)
    await kernel.logout(iqn)
    await record()
    await kernel.setKey(iqn, "node.session.auth.username_in", mutual.name)
    await kernel.setKey(iqn, "node.session.auth.password_in", "another-secret-3")
    assert.notEqual(await tryLogin(), 0)
  })

  test("discovery", { skip: standIn && "tgtd's discovery accounts are set otherwise" }, async () => {
    await assert.rejects(kernel.discover(target.portal))
    const iface = kernel.transport === "iser" ? " -I iser" : ""
    const database = `iscsiadm -m discoverydb -t st -p ${target.portal}${iface}`
    const key = "discovery.sendtargets.auth"
    await kernel.guest.sh(`${database} -o new; ${database} -o update -n ${key}.authmethod -v CHAP`)
    await kernel.guest.sh(
      `${database} -o update -n ${key}.username -v ${user.name} -n ${key}.password -v ${user.secret}`,
    )
    assert.match(await kernel.guest.sh(`${database} -D`), new RegExp(iqn))
    await kernel.guest.sh(`iscsiadm -m node -T ${iqn} -o delete`)
  })
}

/** Makes a file system, fills it, checks it, reads everything again past the cache. */
export async function fileSystemScenario(
  { guest }: KernelInitiator,
  { kind, make, check }: { kind: string; make: string; check: string },
  node: string,
): Promise<void> {
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
}

export const EXT4 = { kind: "ext4", make: "mkfs.ext4 -q", check: "fsck.ext4 -fn" }
export const XFS = { kind: "xfs", make: "mkfs.xfs -q -f", check: "xfs_repair -n" }

const FIO_DEADLINE = { deadlineMs: 180_000 }
const LOAD =
  "fio --name=load --rw=randwrite --bs=4k --size=16M --direct=1 --ioengine=libaio --iodepth=8 --fsync=16 " +
  "--verify=crc32c --verify_fatal=1 --rate_iops=,500 --randseed=7"

/** Connection errors the guest's kernel has noticed so far. */
async function errorsNoticed({ guest }: KernelInitiator): Promise<number> {
  return Number((await guest.run("dmesg | grep -c 'detected conn error'")).stdout)
}

/** Runs a load that verifies itself, does `harm` after three seconds, and sees the kernel recover. */
async function recovers(kernel: KernelInitiator, node: string, harm: () => Promise<void>): Promise<void> {
  const { guest } = kernel
  const before = await errorsNoticed(kernel)
  const running = guest.run(`${LOAD} --filename=${node}`, FIO_DEADLINE)
  await sleep(3000)
  await harm()
  const { code, stdout, stderr } = await running
  assert.equal(code, 0, stdout + stderr)
  assert.ok((await errorsNoticed(kernel)) > before, "the kernel noticed nothing: the load was over before")
  assert.match(await guest.sh("iscsiadm -m session -P2"), /iSCSI Session State: LOGGED_IN/)
}

/** A target that is killed under load: every flushed byte is there, also for a session made afterwards. Returns its disk's node. */
export async function killedTargetScenario(
  kernel: KernelInitiator,
  target: KernelTarget,
  iqn: string,
  node: string,
): Promise<string> {
  await recovers(kernel, node, async () => {
    await target.kill()
    await sleep(1500)
    await target.start()
  })
  await kernel.logout(iqn)
  await kernel.discover(target.portal)
  await kernel.login(iqn)
  const again = await kernel.disk(iqn, target.firstLun)
  await kernel.guest.sh(`${LOAD} --verify_only --filename=${again}`, FIO_DEADLINE)
  return again
}

/** The cable is pulled under load until the kernel has noticed, and plugged again. */
export async function pulledCableScenario(kernel: KernelInitiator, node: string): Promise<void> {
  const { guest } = kernel
  await recovers(kernel, node, async () => {
    const before = await errorsNoticed(kernel)
    await guest.link(0, false)
    for (let tries = 0; (await errorsNoticed(kernel)) === before; tries++) {
      assert.ok(tries < 200, "the kernel did not notice that the cable was pulled")
      await sleep(200)
    }
    await guest.link(0, true)
  })
  await guest.sh(`${LOAD} --verify_only --filename=${node}`, FIO_DEADLINE)
}

export async function logoutScenario(kernel: KernelInitiator, iqn: string): Promise<void> {
  await kernel.logout(iqn)
  assert.equal((await kernel.guest.run("iscsiadm -m session")).code, 21) // ISCSI_ERR_NO_OBJS_FOUND
  assert.equal((await kernel.guest.run("rig-disk 0", { deadlineMs: 1000 })).code === 0, false)
}

export function slowDiskScenario(kernel: KernelInitiator): void {
  const iqn = "iqn.2026-01.org.example:slow"
  let target: KernelTarget
  let node = ""

  before(async () => {
    target = await kernel.startTarget({
      iqn,
      images: [kernel.scratch.image("slow.img", 32 * MiB)],
      delaysMs: { read: 3000, write: 30_000 },
    })
    await kernel.discover(target.portal)
    // without pings: while one is under way, the kernel gives a late command more time
    await kernel.setKey(iqn, "node.conn[0].timeo.noop_out_interval", "0")
    await kernel.setKey(iqn, "node.conn[0].timeo.noop_out_timeout", "0")
    await kernel.login(iqn)
    node = await kernel.disk(iqn, target.firstLun)
    // scanning reads the disk for a partition table: wait for the slow reads to pass
    await kernel.guest.sh(`udevadm settle 2>/dev/null; cat ${node} | head -c 4096 | wc -c`)
  })
  after(async () => {
    await kernel.logout(iqn)
    await target.stop()
  })

  test("LUN reset while reads are outstanding: they are done again and succeed", async () => {
    const before = await kernel.taskManagement()
    const reading = kernel.guest.run(`dd if=${node} of=/dev/null bs=64k count=4 skip=64 iflag=direct`)
    await sleep(1000)
    await kernel.guest.sh(`sg_reset -d ${node}`)
    assert.ok((await kernel.taskManagement()) > before, "no task management function was sent")
    const { code, stderr } = await reading
    assert.equal(code, 0, stderr)
  })

  test("a command that takes too long is aborted by the error handler, and the disk stays usable", async () => {
    const before = await kernel.taskManagement()
    const settings = `/sys/block/${node.replace("/dev/", "")}/device`
    await kernel.guest.sh(`echo 1 > ${settings}/timeout; echo 5 > ${settings}/eh_timeout`)
    const written = await kernel.guest.run(`dd if=/dev/zero of=${node} bs=4k count=1 seek=999 oflag=direct`, {
      deadlineMs: 180_000,
    })
    assert.notEqual(written.code, 0, "a write of 30 s should not get through a timeout of 1 s")
    assert.ok((await kernel.taskManagement()) > before, "no task management function was sent")
    await kernel.guest.sh(`echo 60 > ${settings}/timeout`)
    assert.equal(await kernel.guest.sh(`cat ${settings}/state`), "running")
    await kernel.guest.sh(`dd if=${node} of=/dev/null bs=4k count=1 skip=999 iflag=direct`)
  })
}
