import assert from "node:assert/strict"
import { DiskUnit, type DiskUnitOptions } from "../../../../src/scsi/sbc/disk-unit.ts"
import type { Sense } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good, TestTask, type TestTaskOptions, testNexus } from "../../../suites/scsi-task.ts"
import { TestDevice } from "./test-device.ts"

export type CommandOptions = Omit<TestTaskOptions, "lun" | "tag">

export interface Outcome {
  readonly task: TestTask
  readonly dataIn: Uint8Array
  /** Of CHECK CONDITION; undefined for GOOD, and for a task that was aborted. */
  readonly sense: Sense | undefined
  /** It had ended before commandReceived returned. */
  readonly atOnce: boolean
}

export const nexus = testNexus()

/** A DiskUnit over a TestDevice with one nexus, without the unit attention one begins with. */
export class Disk {
  readonly device: TestDevice
  readonly unit: DiskUnit
  /** Every task there was, the newest last. */
  readonly tasks: TestTask[] = []

  constructor(unit: DiskUnit, device: TestDevice) {
    this.unit = unit
    this.device = device
    unit.attachNexus(nexus)
    unit.control.descriptorSense = true // has room for a long INFORMATION
  }

  async run(cdb: Uint8Array, options: CommandOptions = {}): Promise<Outcome> {
    const task = new TestTask(nexus, cdb, options)
    this.tasks.push(task)
    this.unit.commandReceived(task)
    const atOnce = task.over
    await task.ended
    if (task.aborts === 0) assert.equal(task.buffersOut, 0, "every buffer is given back")
    assert.ok(task.sense !== undefined || task.status === Status.good || task.aborts > 0)
    return { task, dataIn: task.dataIn, sense: task.sense, atOnce }
  }

  /** The Data-In of a command that must end with GOOD. */
  async good(cdb: Uint8Array, options?: CommandOptions): Promise<Uint8Array> {
    const { task } = await this.run(cdb, options)
    return good(task)
  }

  /** Must end with this sense key and additional sense code. */
  async fails(cdb: Uint8Array, key: number, asc: number, options?: CommandOptions): Promise<Sense> {
    const { task } = await this.run(cdb, options)
    return checkCondition(task, key, asc)
  }
}

export function makeDisk(options: DiskUnitOptions & { blocks?: number; device?: TestDevice } = {}): Disk {
  const {
    blocks = 64,
    device = new TestDevice(blocks * (options.logicalBlockBytes ?? 512)),
    ...rest
  } = options
  return new Disk(new DiskUnit(device, rest), device)
}

/** A block command's CDB, its length by the opcode's group. */
export function blockCdb(opcode: number, lba: number | bigint, blocks: number, flags = 0): Uint8Array {
  const cdb = new Uint8Array([6, 10, 10, 0, 16, 12][opcode >> 5]!)
  const view = new DataView(cdb.buffer)
  cdb[0] = opcode
  cdb[1] = flags
  switch (cdb.length) {
    case 6:
      cdb[1] |= (Number(lba) >> 16) & 0x1f
      view.setUint16(2, Number(lba) & 0xffff)
      cdb[4] = blocks
      break
    case 10:
      view.setUint32(2, Number(lba))
      view.setUint16(7, blocks)
      break
    case 12:
      view.setUint32(2, Number(lba))
      view.setUint32(6, blocks)
      break
    default:
      view.setBigUint64(2, BigInt(lba))
      view.setUint32(10, blocks)
  }
  return cdb
}

/** COMPARE AND WRITE, whose length is one byte. */
export function compareAndWriteCdb(lba: number | bigint, blocks: number, flags = 0): Uint8Array {
  const cdb = blockCdb(0x89, lba, 0, flags)
  cdb[13] = blocks
  return cdb
}

/** Bytes that differ from block to block and from each other. */
export function pattern(bytes: number, seed = 1): Uint8Array {
  const data = new Uint8Array(bytes)
  let state = (seed * 2654435761) >>> 0 || 1
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    data[i] = state >>> 24
  }
  return data
}
