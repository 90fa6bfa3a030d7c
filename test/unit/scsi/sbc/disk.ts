import assert from "node:assert/strict"
import type { DataBuffer } from "../../../../src/base/buffers.ts"
import type { Eventually } from "../../../../src/base/completion.ts"
import { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { Task, TaskAttribute } from "../../../../src/scsi/sam/task.ts"
import { DiskUnit, type DiskUnitOptions } from "../../../../src/scsi/sbc/disk-unit.ts"
import { Asc, SenseError, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { TestDevice } from "./test-device.ts"

export const nexus = new Nexus({
  initiatorPortName: "iqn.2026-01.org.example:host,i,0x1",
  initiatorName: "iqn.2026-01.org.example:host",
  targetPortName: "iqn.2026-01.org.example:disk,t,0x1",
  relativeTargetPort: 1,
})

export interface CommandOptions {
  readonly dataOut?: Uint8Array
  /** The initiator's expected lengths; default: what `dataOut` has, and without limit. */
  readonly dataOutBytesMax?: number
  readonly dataInBytesMax?: number
  /** Every buffer comes by a promise. */
  readonly slowBuffers?: boolean
}

export class DiskTask extends Task {
  readonly dataIn: Uint8Array[] = []
  /** Buffers lent and not given back: 0 when the command has ended. */
  buffersOut = 0
  /** The largest buffer lent. */
  stepBytes = 0
  last = false
  status = -1
  readonly #dataOut: Uint8Array
  readonly #slow: boolean
  #sent = 0

  constructor(cdb: Uint8Array, options: CommandOptions) {
    const out = options.dataOut ?? new Uint8Array(0)
    const padded = new Uint8Array(Math.max(16, cdb.length))
    padded.set(cdb)
    const outMax = options.dataOutBytesMax ?? out.length
    super(nexus, 0, 0, 1, TaskAttribute.simple, padded, outMax, options.dataInBytesMax ?? 2 ** 32 - 1)
    this.#dataOut = out
    this.#slow = options.slowBuffers ?? false
  }

  allocateDataIn(bytes: number): Eventually<DataBuffer> {
    return this.#lend(Buffer.alloc(bytes, 0xa5))
  }

  sendDataIn(offsetBytes: number, buffer: DataBuffer, bytes: number, last: boolean): void {
    assert.equal(offsetBytes, this.#sent, "Data-In without gaps")
    assert.equal(this.last, false, "nothing comes after the last Data-In")
    this.dataIn.push(Uint8Array.from(buffer.bytes.subarray(0, bytes)))
    this.#sent += bytes
    this.last = last
    buffer.release()
  }

  receiveDataOut(offsetBytes: number, bytes: number): Eventually<DataBuffer> {
    assert.ok(bytes >= 1 && offsetBytes + bytes <= this.dataOutBytesMax, "Data-Out within what is announced")
    return this.#lend(Buffer.from(this.#dataOut.subarray(offsetBytes, offsetBytes + bytes)))
  }

  sendCommandComplete(status: number): void {
    this.status = status
  }

  abort(): void {}

  #lend(bytes: Uint8Array): Eventually<DataBuffer> {
    assert.ok(bytes.length >= 1 && bytes.length <= 1024 * 1024, "a step is 1 byte to 1 MiB")
    this.buffersOut++
    this.stepBytes = Math.max(this.stepBytes, bytes.length)
    let released = false
    const buffer = {
      bytes,
      release: () => {
        assert.equal(released, false, "released once")
        released = true
        this.buffersOut--
        bytes.fill(0x5a) // whoever looks at it afterwards sees nonsense
      },
    }
    return this.#slow ? Promise.resolve(buffer) : buffer
  }
}

export interface Outcome {
  readonly task: DiskTask
  readonly dataIn: Uint8Array
  readonly sense: SenseError | undefined
  /** It ended without a promise. */
  readonly atOnce: boolean
}

export interface Disk {
  readonly device: TestDevice
  readonly unit: DiskUnit
  /** Every task there was, the newest last. */
  readonly tasks: DiskTask[]
  run(cdb: Uint8Array, options?: CommandOptions): Promise<Outcome>
  /** The Data-In of a command that must end with GOOD. */
  good(cdb: Uint8Array, options?: CommandOptions): Promise<Uint8Array>
  /** Must end with this sense key and additional sense code. */
  fails(cdb: Uint8Array, key: number, asc: number, options?: CommandOptions): Promise<SenseError>
}

export function makeDisk(options: DiskUnitOptions & { blocks?: number; device?: TestDevice } = {}): Disk {
  const blockBytes = options.logicalBlockBytes ?? 512
  const { blocks = 64, device = new TestDevice(blocks * blockBytes), ...rest } = options
  const unit = new DiskUnit(device, rest)
  const tasks: DiskTask[] = []
  const run = (cdb: Uint8Array, commandOptions: CommandOptions = {}) => {
    const task = new DiskTask(cdb, commandOptions)
    tasks.push(task)
    return execute(unit, task)
  }
  return {
    device,
    unit,
    tasks,
    run,
    async good(cdb, commandOptions) {
      const { sense, dataIn } = await run(cdb, commandOptions)
      assert.equal(sense, undefined, sense?.message)
      return dataIn
    },
    async fails(cdb, key, asc, commandOptions) {
      const { sense } = await run(cdb, commandOptions)
      assert.ok(sense, "CHECK CONDITION expected")
      assert.equal(sense.key, key, sense.message)
      assert.equal(sense.asc.toString(16), asc.toString(16), sense.message)
      return sense
    },
  }
}

async function execute(unit: DiskUnit, task: DiskTask): Promise<Outcome> {
  let sense: SenseError | undefined
  let atOnce = true
  try {
    const done = dispatch(unit, task)
    atOnce = done === undefined
    await done
  } catch (error) {
    if (!(error instanceof SenseError)) throw error
    sense = error
  }
  assert.equal(task.buffersOut, 0, "every buffer is given back")
  return { task, dataIn: Buffer.concat(task.dataIn), sense, atOnce }
}

/** What the task router does before a command runs: finds its row, refuses bits the row doesn't know. */
function dispatch(unit: DiskUnit, task: DiskTask) {
  const { cdb } = task
  const command = unit.commands.find(
    ({ opcode, serviceAction }) =>
      opcode === cdb[0] && (serviceAction === undefined || serviceAction === (cdb[1]! & 0x1f)),
  )
  if (!command)
    throw new SenseError(SenseKey.illegalRequest, Asc.invalidCommandOperationCode, "no such command")
  command.usage.forEach((mask, byte) => {
    if ((cdb[byte]! & ~mask) === 0) return
    throw new SenseError(SenseKey.illegalRequest, Asc.invalidFieldInCdb, `byte ${byte} of ${command.name}`)
  })
  return command.execute(task, unit)
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
