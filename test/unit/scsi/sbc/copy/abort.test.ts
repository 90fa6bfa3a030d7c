import assert from "node:assert/strict"
import { describe, it } from "node:test"
import {
  TaskManagementFunction,
  TaskManagementServiceResponse,
} from "../../../../../src/scsi/sam/transport-services.ts"
import type { Nexus } from "../../../../../src/scsi/sam/nexus.ts"
import * as cdb from "../../../../../src/scsi/cdb/index.ts"
import { PersistentReserveOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { ThirdPartyCopyIn, ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../../../src/scsi/spec/sense.ts"
import { checkCondition, good, testNexus, type TestTask } from "../../../../suites/scsi-task.ts"
import {
  copyOperationAbort,
  blockSegment,
  CopyBench,
  extendedCopyCdb,
  lid4List,
  receiveCdb,
  settle,
  tokenCdb,
  writeList,
  zeroToken,
} from "./copy-bench.ts"

const BLOCKS = 8 * 2048
const WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 0x05
const LIST_ID = 0x1234_5678
const { abortTask, logicalUnitReset, targetWarmReset } = TaskManagementFunction

/** A copy of eight steps whose first ones are under way at a destination that takes its time. */
async function begin(options: { immediate?: boolean } = {}): Promise<{ bench: CopyBench; task: TestTask }> {
  const bench = new CopyBench({ blocks: BLOCKS }, { blocks: BLOCKS })
  bench.disk(1).device.slow = true
  const segment = blockSegment({ blocks: BLOCKS, from: 0, to: 0 })
  const dataOut = lid4List([bench.cscd(0), bench.cscd(1)], [segment], { listId: LIST_ID, ...options })
  const task = bench.send(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid4, dataOut.length), { dataOut })
  await settle()
  assert.equal(bench.disk(1).device.waiting.length, 2)
  return { bench, task }
}

/** COPY OPERATION STATUS, EXTENDED COPY COMPLETION STATUS, SENSE DATA LENGTH. */
async function statusOf(bench: CopyBench): Promise<number[]> {
  const data = good(await bench.run(receiveCdb(ThirdPartyCopyIn.receiveCopyStatusLid4, LIST_ID)))
  return [data[5]!, data[12]!, data[14]!]
}

const writes = (bench: CopyBench): number =>
  bench.disk(1).device.calls.filter((call) => call.startsWith("write")).length

describe("a copy that is aborted", () => {
  it("by ABORT TASK begins nothing more, at any disk, and is over when what was begun has ended", async () => {
    const { bench, task } = await begin()
    const response = bench.target.taskManagementRequestReceived(bench.nexus, {
      function: abortTask,
      lunHigh: 0,
      lunLow: 0,
      taskTag: task.tag,
    })
    let answered = false
    void response.then(() => {
      answered = true
    })
    await settle()
    assert.equal(answered, false)
    assert.ok(bench.disk(1).device.calls.includes("cancel"), "what waits at the other disk is told")
    await bench.finishAll()
    assert.equal(await response, TaskManagementServiceResponse.functionComplete)
    assert.deepEqual([task.aborts, task.status, task.buffersOut], [1, undefined, 0])
    assert.equal(writes(bench), 2)
    assert.deepEqual(await statusOf(bench), [0x60, 0x40, 0])
    assert.equal(bench.disk(0).unit.allTasks().length, 0)
  })

  it("by COPY OPERATION ABORT ends its command with COPY ABORTED, before the abort ends", async () => {
    const { bench, task } = await begin()
    const abort = bench.send(copyOperationAbort(LIST_ID))
    await settle()
    assert.equal(abort.over, false)
    await bench.finishAll()
    good(await abort.ended)
    checkCondition(task, SenseKey.copyAborted, Asc.commandsClearedByDeviceServer)
    assert.equal(writes(bench), 2)
    assert.deepEqual(await statusOf(bench), [0x60, 0x40, 0])
    const again = await bench.run(copyOperationAbort(LIST_ID))
    const sense = checkCondition(again, SenseKey.illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 2 })
  })

  it("in the background goes on after its command, until it is aborted", async () => {
    const { bench, task } = await begin({ immediate: true })
    good(await task.ended)
    assert.deepEqual(await statusOf(bench), [0x12, 0, 0])
    const abort = bench.send(copyOperationAbort(LIST_ID))
    await settle()
    assert.equal(abort.over, false)
    await bench.finishAll()
    good(await abort.ended)
    assert.equal(writes(bench), 2)
    assert.deepEqual(await statusOf(bench), [0x60, 0x40, 0])
  })

  it("in the background comes to its end when it isn't", async () => {
    const { bench, task } = await begin({ immediate: true })
    good(await task.ended)
    await bench.finishAll()
    assert.equal(writes(bench), 8)
    assert.deepEqual(await statusOf(bench), [0x01, 0, 0])
    assert.deepEqual(
      bench.disks.map(({ unit }) => unit.guests.count),
      [0, 0],
    )
  })

  it("by a reset of the unit it was sent to, or of another it touches, is over when the reset is", async () => {
    for (const lun of [0, 1]) {
      for (const immediate of [false, true]) {
        const { bench, task } = await begin({ immediate })
        const response = bench.target.taskManagementRequestReceived(bench.nexus, {
          function: logicalUnitReset,
          lunHigh: lun * 0x1_0000,
          lunLow: 0,
          taskTag: 0,
        })
        let answered = false
        void response.then(() => {
          answered = true
        })
        await settle()
        assert.equal(answered, false)
        await bench.finishAll()
        assert.equal(await response, TaskManagementServiceResponse.functionComplete)
        assert.equal(writes(bench), 2)
        if (lun === 1 && !immediate) {
          checkCondition(task, SenseKey.copyAborted, Asc.copyTargetDeviceNotReachable)
        }
        for (const { unit } of bench.disks) while (unit.takeUnitAttention(bench.nexus) !== undefined);
        const status = await bench.run(receiveCdb(ThirdPartyCopyIn.receiveCopyStatusLid4, LIST_ID))
        if (lun === 0) checkCondition(status, SenseKey.illegalRequest, Asc.invalidFieldInCdb)
        else assert.equal(good(status)[5], 0x60)
      }
    }
  })

  it("by a reset of the target is over when the reset is", async () => {
    const { bench } = await begin({ immediate: true })
    const response = bench.target.taskManagementRequestReceived(bench.nexus, {
      function: targetWarmReset,
      lunHigh: 0,
      lunLow: 0,
      taskTag: 0,
    })
    await bench.finishAll()
    assert.equal(await response, TaskManagementServiceResponse.functionComplete)
    assert.equal(writes(bench), 2)
  })

  it("by the removal of a unit it touches touches it no more when that has ended", async () => {
    for (const immediate of [false, true]) {
      const { bench, task } = await begin({ immediate })
      let removed = false
      const removal = bench.target.removeLogicalUnit(1).then(() => {
        removed = true
      })
      await settle()
      assert.equal(removed, false)
      await bench.finishAll()
      await removal
      assert.equal(writes(bench), 2)
      if (!immediate) checkCondition(task, SenseKey.copyAborted, Asc.copyTargetDeviceNotReachable)
    }
  })

  it("by the loss of its nexus is over when that has ended, in the background as well", async () => {
    for (const immediate of [false, true]) {
      const { bench } = await begin({ immediate })
      let gone = false
      const loss = bench.target.detachNexus(bench.nexus).then(() => {
        gone = true
      })
      await settle()
      assert.equal(gone, false)
      await bench.finishAll()
      await loss
      assert.equal(writes(bench), 2)
    }
  })

  it("by PREEMPT AND ABORT at a unit it touches is over there when that is answered", async () => {
    const { bench, task } = await begin()
    const other = bench.attach(testNexus("other"))
    const out = (nexus: Nexus, action: number, key: bigint, actionKey: bigint): TestTask => {
      const dataOut = cdb.persistentReserveList({ key, actionKey })
      const type = action === PersistentReserveOut.preemptAndAbort ? WRITE_EXCLUSIVE_REGISTRANTS_ONLY : 0
      const command = cdb.persistentReserveOut(action, dataOut.length, type)
      return bench.send(command, { nexus, dataOut, lun: 1 })
    }
    good(await out(bench.nexus, PersistentReserveOut.register, 0n, 0xan).ended)
    good(await out(other, PersistentReserveOut.register, 0n, 0xbn).ended)
    const fence = out(other, PersistentReserveOut.preemptAndAbort, 0xbn, 0xan)
    await settle()
    assert.equal(fence.over, false, "what was begun at the medium is waited for")
    await bench.finishAll()
    good(await fence.ended)
    assert.equal(writes(bench), 2)
    checkCondition(task, SenseKey.copyAborted, Asc.copyTargetDeviceNotReachable)
  })

  it("while its parameter list is on its way never begins", async () => {
    const bench = new CopyBench({}, {})
    const dataOut = lid4List([bench.cscd(0), bench.cscd(1)], [blockSegment({ blocks: 8, from: 0, to: 0 })])
    const task = bench.send(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid4, dataOut.length), {
      dataOut,
      buffers: "held",
    })
    await settle()
    task.deliver()
    const aborted = bench.disk(0).unit.abortTasks([task])
    await aborted
    await settle()
    assert.deepEqual(bench.disk(1).device.calls, [])
    assert.deepEqual([task.aborts, task.buffersOut], [1, 0])
  })

  it("is one with a token of zeroes too", async () => {
    const bench = new CopyBench({ blocks: BLOCKS })
    bench.disk(0).device.slow = true
    const dataOut = writeList(zeroToken(), [
      [0, 8],
      [100, 8],
    ])
    const task = bench.send(tokenCdb(ThirdPartyCopyOut.writeUsingToken, LIST_ID, dataOut.length), { dataOut })
    await settle()
    const abort = bench.send(copyOperationAbort(LIST_ID))
    await bench.finishAll()
    good(await abort.ended)
    checkCondition(task, SenseKey.copyAborted, Asc.commandsClearedByDeviceServer)
    assert.equal(bench.disk(0).device.calls.filter((call) => call.startsWith("discard")).length, 1)
  })
})
