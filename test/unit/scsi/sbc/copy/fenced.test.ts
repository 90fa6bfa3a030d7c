import assert from "node:assert/strict"
import { describe, it } from "node:test"
import * as cdb from "../../../../../src/scsi/cdb/index.ts"
import { PersistentReserveOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { PersistentType } from "../../../../../src/scsi/spec/persistent-type.ts"
import { ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../../src/scsi/spec/status.ts"
import { checkCondition, good, testNexus } from "../../../../suites/scsi-task.ts"
import { blockSegment, CopyBench, extendedCopyCdb, lid4List } from "./copy-bench.ts"

const KEY = 0x1122n

/** Copies from LUN 0 to LUN 1, one of which another nexus has reserved persistently. */
async function copyPast(lun: number, type: number) {
  const bench = new CopyBench({}, {})
  const holder = { nexus: bench.attach(testNexus("holder")), lun }
  const registration = cdb.persistentReserveList({ actionKey: KEY })
  good(
    await bench.run(cdb.persistentReserveOut(PersistentReserveOut.register, 24), {
      ...holder,
      dataOut: registration,
    }),
  )
  const reservation = cdb.persistentReserveList({ key: KEY })
  const reserve = cdb.persistentReserveOut(PersistentReserveOut.reserve, 24, type)
  good(await bench.run(reserve, { ...holder, dataOut: reservation }))
  const segment = blockSegment({ blocks: 8, from: 0, to: 0 })
  const dataOut = lid4List([bench.cscd(0), bench.cscd(1)], [segment], { listId: 7 })
  // Sent to the unit that isn't reserved: what conflicts there isn't the command.
  const task = await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid4, dataOut.length), {
    dataOut,
    lun: 1 - lun,
  })
  return { bench, task }
}

describe("a copy past a persistent reservation", () => {
  it("writes nothing to a destination that another nexus has reserved", async () => {
    for (const type of [PersistentType.writeExclusive, PersistentType.exclusiveAccess]) {
      const { bench, task } = await copyPast(1, type)
      checkCondition(task, SenseKey.copyAborted, Asc.thirdPartyDeviceFailure)
      assert.deepEqual([...task.senseData!.subarray(-4)], [0x0c, 2, 2, Status.reservationConflict])
      assert.deepEqual(bench.disk(1).device.calls, [])
    }
  })

  it("reads a source that is reserved against writing, but none reserved against all", async () => {
    good((await copyPast(0, PersistentType.writeExclusive)).task)
    const { task } = await copyPast(0, PersistentType.exclusiveAccess)
    checkCondition(task, SenseKey.copyAborted, Asc.thirdPartyDeviceFailure)
    assert.deepEqual([...task.senseData!.subarray(-4)], [0x0c, 2, 1, Status.reservationConflict])
  })
})
