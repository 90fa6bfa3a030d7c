/** Commands as nobody would send them, to a whole disk: each must end, in words of the standard. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SeededRandom } from "../../../../src/base/random.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import { TaskManagementFunction } from "../../../../src/scsi/sam/transport-services.ts"
import { VolatileRecords } from "../../../../src/scsi/sam/unit-records.ts"
import { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { VolatileUndoLog } from "../../../../src/scsi/sbc/undo-log.ts"
import { SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { forEachSeed } from "../../../seed.ts"
import { TestTask, testNexus } from "../../../suites/scsi-task.ts"
import { copyOperationAbort, extendedCopyCdb, receiveCdb, tokenCdb } from "../sbc/copy/copy-bench.ts"
import { TestDevice } from "../sbc/test-device.ts"

const BLOCKS = 64
const COMMANDS = 150
const SELF_TEST_STEP_MS = 1000
const clearAca = { function: TaskManagementFunction.clearAca, lunHigh: 0, lunLow: 0, taskTag: 0 }

/** Sound CDBs, to be spoilt. */
const sound: readonly Uint8Array[] = [
  cdb.inquiry(255, 0x83),
  cdb.modeSense6(0x3f, 255),
  cdb.modeSense10(0x3f, 255, { subpage: 0xff }),
  cdb.modeSelect6(24),
  cdb.modeSelect10(40),
  cdb.logSense(0x02, 255),
  cdb.logSense(0x0c, 255),
  cdb.logSense(0x00, 255, { subpage: 0xff }),
  cdb.logSelect(0, { reset: true }),
  cdb.logSelect(24),
  cdb.selfTest(),
  cdb.backgroundSelfTest(2),
  cdb.reportLuns(64),
  cdb.requestSense(18),
  cdb.reportSupportedOperationCodes(4096),
  cdb.reportSupportedTaskManagementFunctions(16),
  cdb.reportTargetPortGroups(64),
  cdb.setTargetPortGroups(8),
  cdb.read6(0, 1),
  cdb.read10(3, 4),
  cdb.read16(3, 4),
  cdb.write10(3, 4),
  cdb.write16(3, 4),
  cdb.verify16(3, 4, cdb.ByteCheck.all),
  cdb.writeAndVerify10(3, 4, cdb.ByteCheck.all),
  cdb.compareAndWrite(3, 1),
  cdb.orWrite16(3, 1),
  cdb.writeSame16(3, 4, cdb.WriteSameBit.unmap),
  cdb.unmap(24),
  cdb.getLbaStatus(0, 64),
  cdb.synchronizeCache10(),
  cdb.preFetch16(0, 8),
  cdb.readCapacity10(),
  cdb.readCapacity16(),
  extendedCopyCdb(0, 16 + 32 + 28),
  extendedCopyCdb(1, 48 + 32 + 28),
  tokenCdb(0x10, 1, 32),
  tokenCdb(0x11, 1, 552),
  copyOperationAbort(1),
  receiveCdb(0, 1),
  receiveCdb(5, 1),
  receiveCdb(7, 1),
  cdb.reserve6(),
  ...[
    [0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0], // WRITE ATOMIC (16)
    [0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0], // SANITIZE, BLOCK ERASE
    [0x48, 0x81, 0, 0, 0, 0, 0, 0, 8, 0], // SANITIZE, OVERWRITE with IMMED
    [0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0], // SANITIZE, EXIT FAILURE MODE
    [0x04, 0x10, 0, 0, 0, 0], // FORMAT UNIT
    [0x07, 0, 0, 0, 0, 0], // REASSIGN BLOCKS
    [0x37, 0, 0x18, 0, 0, 0, 0, 0, 64, 0], // READ DEFECT DATA (10)
    [0xb7, 0x18, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0], // READ DEFECT DATA (12)
    [0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0], // REPORT IDENTIFYING INFORMATION
    [0xa4, 0x06, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], // SET IDENTIFYING INFORMATION
    [0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], // READ (32)
    [0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], // WRITE (32)
  ].map((bytes) => Uint8Array.from(bytes)),
  cdb.release10(),
]

function spoilt(random: SeededRandom): Uint8Array {
  if (random.chance(0.1)) return random.fill(new Uint8Array(16))
  const bytes = random.pick(sound).slice()
  for (let i = random.below(3); i > 0; i--) bytes[random.below(bytes.length)] = random.below(256)
  return bytes
}

async function storm(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const clock = new VirtualClock()
  const target = new ScsiTarget({ clock })
  const unit = new DiskUnit(new TestDevice(BLOCKS * 512), {
    identity: { serial: `seed-${seed}` },
    records: new VolatileRecords(),
    undoLog: new VolatileUndoLog(),
  })
  target.addLogicalUnit(0, unit)
  const nexuses = ["one", "two"].map(testNexus)
  for (const nexus of nexuses) target.attachNexus(nexus)
  const tasks: TestTask[] = []
  /** Until it has ended: what NACA holds up is let go, and self-tests in the foreground have their time. */
  const settle = async (task: TestTask): Promise<void> => {
    while (!task.over) {
      for (const nexus of nexuses) {
        // It waits for what it ends, which may be such a self-test.
        let cleared = false
        void target.taskManagementRequestReceived(nexus, clearAca).then(() => (cleared = true))
        do await clock.advance(SELF_TEST_STEP_MS)
        while (!cleared)
      }
    }
  }
  for (let i = 0; i < COMMANDS; i++) {
    const dataOut = random.fill(new Uint8Array(random.pick([0, 8, 24, 40, 512, 1024, 2048])))
    const task = new TestTask(random.pick(nexuses), spoilt(random), {
      tag: i,
      dataOut,
      lun: random.chance(0.05) ? random.below(0x1_0000) : 0,
      attribute: random.pick([0, 1, 1, 1, 2, 3, 4]),
      dataInBytesMax: random.pick([0, 16, 255, 4096, 2 ** 32 - 1]),
      ...(random.chance(0.3) && { buffers: "slow" as const }),
    })
    tasks.push(task)
    target.commandReceived(task)
    if (random.chance(0.2)) await settle(task)
  }
  for (const task of tasks) {
    await settle(task)
    const told = `${Buffer.from(task.cdb).toString("hex")}: status ${task.status}`
    // CLEAR ACA ends what has the ACA attribute, and QERR what a MODE SELECT put it in the way of.
    const status = task.aborts === 0 ? task.status! : Status.good
    assert.ok((Object.values(Status) as number[]).includes(status), told)
    assert.notEqual(task.sense?.key, SenseKey.hardwareError, told)
    assert.equal(task.buffersOut, 0, told)
    assert.equal(task.status === Status.checkCondition, task.sense !== undefined, told)
  }
  assert.equal(unit.allTasks().length, 0)
}

describe("random commands", () => {
  test("each ends with a status, and never as our own failure", () => forEachSeed(import.meta.url, 60, storm))
})
