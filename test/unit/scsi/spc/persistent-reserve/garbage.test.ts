import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import * as cdb from "../../../../../src/scsi/cdb/index.ts"
import { encodeTransportId } from "../../../../../src/scsi/spc/persistent-reserve/transport-id.ts"
import { PersistentReserveOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { Status } from "../../../../../src/scsi/spec/status.ts"
import { SenseKey } from "../../../../../src/scsi/spec/sense.ts"
import { Cluster, portName } from "./cluster.ts"

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength })

/** Lists that are all but right: so that more than their first fields is looked at. */
const list = fc
  .record({
    key: fc.constantFrom(0n, 1n),
    actionKey: fc.constantFrom(0n, 1n, 2n),
    flags: fc.nat(0xff),
    tail: fc.oneof(
      bytes(80),
      fc.constantFrom(encodeTransportId(portName("b")), encodeTransportId(portName("c"))),
    ),
    idBytes: fc.oneof(fc.nat(90), fc.constant(0xffff_ffff), fc.constant(-1)),
    move: fc.boolean(),
  })
  .map(({ key, actionKey, flags, tail, idBytes, move }) => {
    const head = move ? 24 : 28
    const data = new Uint8Array(head + tail.length)
    const view = new DataView(data.buffer)
    view.setBigUint64(0, key)
    view.setBigUint64(8, actionKey)
    data[move ? 17 : 20] = flags
    view.setUint16(18, move ? 1 : 0)
    view.setUint32(head - 4, idBytes === -1 ? tail.length : idBytes)
    data.set(tail, head)
    return data
  })

test("whatever a parameter list holds, the command is done, conflicts, or is an illegal request", async () => {
  const request = fc.record({
    action: fc.oneof(fc.constantFrom(...Object.values(PersistentReserveOut)), fc.nat(0x1f)),
    type: fc.nat(0xff),
    list: fc.oneof({ weight: 3, arbitrary: list }, { weight: 1, arbitrary: bytes(64) }),
    /** What the CDB says of its length. */
    listBytes: fc.oneof(
      { weight: 4, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.nat(100_000) },
    ),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 12 }), async (requests) => {
      const cluster = new Cluster()
      const a = cluster.host("a")
      for (const { action, type, list: dataOut, listBytes } of requests) {
        const command = cdb.persistentReserveOut(action & 0x1f, listBytes ?? dataOut.length, type)
        const task = await cluster.run(a, command, { dataOut })
        assert.equal(task.buffersOut, 0)
        if (task.status === Status.good || task.status === Status.reservationConflict) continue
        assert.equal(task.sense?.key, SenseKey.illegalRequest)
      }
      // What is told of it afterwards adds up.
      const { reservation, registrations } = cluster.bench.unit.reservation.persistent
      assert.equal(cluster.fullStatus(a).length, registrations.size)
      const holders = cluster.fullStatus(a).filter(({ holds }) => holds !== 0)
      assert.equal(holders.length > 0, reservation !== undefined)
      assert.ok(cluster.readKeys(a).every((key) => key !== 0n))
    }),
    { numRuns: 300 },
  )
})
