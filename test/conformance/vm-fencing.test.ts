/**
 * Two Linux guests, one over TCP and one over iSER, fence each other as cluster software does: with fence_scsi's commands,
 * with mpathpersist, and in the way Windows' failover clusters settle who owns a disk.
 */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { setTimeout as sleep } from "node:timers/promises"
import { Cluster, EXCLUSIVE_ACCESS, type Node, WRITE_EXCLUSIVE } from "./vm-cluster.ts"

const cluster = new Cluster()
before(() => cluster.start())
after(() => cluster.stop())

const QUICK = 0
const SLOW = 1
/** sg_persist's exit code: SG_LIB_CAT_RES_CONFLICT. */
const CONFLICT = 24

/** What is told of a write that a reservation doesn't let through: EBADE. */
const REFUSED = /Invalid exchange/

async function writes(node: Node, lun: number): Promise<void> {
  await node.guest.sh(node.write(lun, 100))
}

async function mayNotWrite(node: Node, lun: number): Promise<void> {
  const { code, stderr } = await node.guest.run(node.write(lun, 100))
  assert.notEqual(code, 0, `${node.guest.name} should not get its write through`)
  assert.match(stderr, REFUSED)
}

describe("fence_scsi", () => {
  const { a, b } = cluster

  test("both nodes register, one reserves, both write", async () => {
    for (const lun of [QUICK, SLOW]) {
      await cluster.unfence(a, lun)
      await cluster.unfence(b, lun)
      assert.deepEqual(await cluster.keys(b, lun), [a.key, b.key])
      assert.match(
        await cluster.reservation(b, lun),
        new RegExp(`Key=0x${a.key}.*type: Write Exclusive, registrants only`, "s"),
      )
      await writes(a, lun)
      await writes(b, lun)
    }
  })

  test("a node is fenced with writes under way: each is done or not, and none comes later", async () => {
    const BLOCK = 65_536
    const COUNT = 16
    await a.guest.sh(a.fill(SLOW, COUNT, BLOCK, 0xaa))
    const writing = b.guest.run(b.fill(SLOW, COUNT, BLOCK, 0xbb))
    await b.hasUnderWay(SLOW, 1)
    await cluster.fence(a, b, SLOW)
    const found = (): Buffer => readFileSync(cluster.images[SLOW]!).subarray(0, COUNT * BLOCK)
    const then = found()
    for (let i = 0; i < COUNT; i++) {
      const block = then.subarray(i * BLOCK, (i + 1) * BLOCK)
      assert.ok([0xaa, 0xbb].includes(block[0]!) && block.every((byte) => byte === block[0]), `block ${i}`)
    }
    await sleep(4000)
    assert.ok(then.equals(found()), "a fenced node's write has come later")
    const { code, stdout, stderr } = await writing
    assert.notEqual(code, 0)
    assert.match(stdout + stderr, REFUSED)
    assert.ok(then.equals(found()))
    assert.match(await b.guest.sh("dmesg"), /reservation conflict/)
  })

  test("a node is fenced in the middle of a stream of writes: none comes later", async () => {
    const stream = `fio --name=stream --filename=${b.disk(QUICK)} --rw=randwrite --bs=4k --size=16M --direct=1 --ioengine=libaio --iodepth=16 --time_based --runtime=60`
    const writing = b.guest.run(stream)
    const found = (): Buffer => readFileSync(cluster.images[QUICK]!)
    const before = found()
    await b.hasUnderWay(QUICK, 8)
    await sleep(500)
    await cluster.fence(a, b, QUICK)
    const then = found()
    assert.ok(!then.equals(before), "the stream had begun")
    const { code, stdout, stderr } = await writing
    assert.notEqual(code, 0)
    assert.match(stdout + stderr, REFUSED)
    await sleep(500)
    assert.ok(then.equals(found()), "a fenced node's write has come later")
  })

  test("a fenced node reads, and changes nothing; the other one goes on", async () => {
    for (const lun of [QUICK, SLOW]) {
      assert.deepEqual(await cluster.keys(a, lun), [a.key])
      await b.guest.sh(`dd if=${b.disk(lun)} of=/dev/null bs=64k count=1 iflag=direct status=none`)
      await mayNotWrite(b, lun)
      assert.equal((await cluster.out(b, lun, `-R -T 5 -K ${b.key}`)).code, CONFLICT)
      assert.equal((await cluster.out(b, lun, `-L -T 5 -K ${a.key}`)).code, CONFLICT)
      await writes(a, lun)
    }
  })

  test("a server that is killed: keys and reservation are there again, and who was fenced still is", async () => {
    await cluster.restartServer()
    for (const lun of [QUICK, SLOW]) {
      assert.deepEqual(await cluster.keys(a, lun), [a.key])
      assert.match(
        await cluster.reservation(b, lun),
        new RegExp(`Key=0x${a.key}.*type: Write Exclusive, registrants only`, "s"),
      )
      await mayNotWrite(b, lun)
      await writes(a, lun)
    }
  })

  test("a node that comes back registers, and writes", async () => {
    for (const lun of [QUICK, SLOW]) {
      await cluster.unfence(b, lun)
      await writes(b, lun)
      await writes(a, lun)
    }
  })

  test("exclusive access: who is fenced doesn't read either", async () => {
    await cluster.must(a, QUICK, `-L -T ${WRITE_EXCLUSIVE} -K ${a.key}`)
    await cluster.must(a, QUICK, `-R -T ${EXCLUSIVE_ACCESS} -K ${a.key}`)
    const read = `dd if=${b.disk(QUICK)} of=/dev/null bs=64k count=1 iflag=direct status=none`
    await b.guest.sh(read)
    await writes(b, QUICK)
    await cluster.must(a, QUICK, `-P -T ${EXCLUSIVE_ACCESS} -K ${a.key} -S ${b.key}`)
    assert.match((await b.guest.run(`sg_turs -v ${b.disk(QUICK)}`)).stderr, /Registrations preempted/i)
    const { code, stderr } = await b.guest.run(read)
    assert.notEqual(code, 0)
    assert.match(stderr, REFUSED)
    await mayNotWrite(b, QUICK)
    await writes(a, QUICK)
    await cluster.must(a, QUICK, `-C -K ${a.key}`)
    await writes(b, QUICK)
  })
})

describe("a disk's owner is challenged, as Windows' failover clusters do", () => {
  const { a, b } = cluster
  const EVERY_S = 1
  const PATIENCE_MS = 3500

  /** Every while the owner throws out who has registered without being asked. */
  const defend = (disk: string): string => `touch /tmp/defend
while [ -e /tmp/defend ]; do
  for key in $(sg_persist -n -i -k -d ${disk} | grep -o '^ *0x[0-9a-f]*$' | grep -v '0x${a.key}$'); do
    sg_persist -n -o -P -T ${WRITE_EXCLUSIVE} -K ${a.key} -S $key -d ${disk}
  done
  sleep ${EVERY_S}
done`

  const challenge = async (): Promise<number> => {
    await cluster.must(b, QUICK, `-I -S ${b.key}`)
    await sleep(PATIENCE_MS)
    return (await cluster.out(b, QUICK, `-P -T ${WRITE_EXCLUSIVE} -K ${b.key} -S ${a.key}`)).code
  }

  test("an owner that lives keeps it", async () => {
    await cluster.unfence(a, QUICK)
    const defending = a.guest.run(defend(a.disk(QUICK)))
    assert.equal(await challenge(), CONFLICT)
    await mayNotWrite(b, QUICK)
    await writes(a, QUICK)
    await a.guest.sh("rm /tmp/defend")
    await defending
  })

  test("an owner that doesn't loses it", async () => {
    assert.equal(await challenge(), 0)
    assert.deepEqual(await cluster.keys(b, QUICK), [b.key])
    assert.match(await cluster.reservation(a, QUICK), new RegExp(`Key=0x${b.key}`))
    await writes(b, QUICK)
    await mayNotWrite(a, QUICK)
    await cluster.must(b, QUICK, `-C -K ${b.key}`)
  })
})
