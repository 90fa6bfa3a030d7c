/** A SCSI transport for tests: tasks that keep what the device server does with them. */
import assert from "node:assert/strict"
import type { DataBuffer } from "../../src/base/buffers.ts"
import type { Eventually } from "../../src/base/completion.ts"
import { SanletError } from "../../src/base/errors.ts"
import { TRANSFER_STEP_BYTES } from "../../src/base/limits.ts"
import { Nexus } from "../../src/scsi/sam/nexus.ts"
import { Task, TaskAttribute } from "../../src/scsi/sam/task.ts"
import { decodeSense, type Sense } from "../../src/scsi/spec/sense.ts"
import { Status } from "../../src/scsi/spec/status.ts"

/** A nexus of host `host` to port 1 of a test target. */
export const testNexus = (host = "host"): Nexus => testNexusThrough(1, host)

/** The same, to another of its ports. */
export function testNexusThrough(port: number, host = "host"): Nexus {
  const initiatorName = `iqn.2026-01.org.example:${host}`
  return new Nexus({
    initiatorName,
    initiatorPortName: `${initiatorName},i,0x000000000001`,
    targetPortName: `iqn.2026-01.org.example:target,t,0x${port.toString(16).padStart(4, "0")}`,
    relativeTargetPort: port,
  })
}

export interface TestTaskOptions {
  /** The first two bytes of the LUN field are `lun`; default 0. */
  readonly lun?: number
  readonly tag?: number
  readonly attribute?: TaskAttribute
  readonly dataOut?: Uint8Array
  /** Default: as much as dataOut has. */
  readonly dataOutBytesMax?: number
  /** Default: without limit. */
  readonly dataInBytesMax?: number
  /** Buffers come by a promise: at once, or ("held") when `deliver` is called. */
  readonly buffers?: "slow" | "held"
}

let lastTag = 0

/** Records Data-In, status and sense. Checks what every transport relies on: order, sizes, buffers given back once. */
export class TestTask extends Task {
  status: number | undefined
  senseData: Uint8Array | undefined
  /** Times `abort` was called. */
  aborts = 0
  /** Buffers lent and not given back. */
  buffersOut = 0
  /** Whether the last Data-In has come. */
  last = false
  /** Resolves with the task once it has a status, or was aborted. */
  readonly ended: Promise<this>
  readonly #options: TestTaskOptions
  readonly #dataIn: Uint8Array[] = []
  readonly #held: { give: () => void; fail: (error: Error) => void }[] = []
  #dataInBytes = 0
  #dataOutBytes = 0
  #end!: (task: this) => void

  constructor(nexus: Nexus, cdb: Uint8Array, options: TestTaskOptions = {}) {
    const padded = new Uint8Array(Math.max(16, cdb.length))
    padded.set(cdb)
    super(
      nexus,
      (options.lun ?? 0) * 0x1_0000,
      0,
      options.tag ?? ++lastTag,
      options.attribute ?? TaskAttribute.simple,
      padded,
      options.dataOutBytesMax ?? options.dataOut?.length ?? 0,
      options.dataInBytesMax ?? 2 ** 32 - 1,
    )
    this.#options = options
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  /** All Data-In, joined. */
  get dataIn(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#dataIn))
  }

  get over(): boolean {
    return this.status !== undefined || this.aborts > 0
  }

  get sense(): Sense | undefined {
    return this.senseData && decodeSense(this.senseData)
  }

  /** Hands out the buffer asked for first, of those held. */
  deliver(): void {
    this.#held.shift()?.give()
  }

  allocateDataIn(bytes: number): Eventually<DataBuffer> {
    return this.#lend(Buffer.alloc(bytes, 0xa5))
  }

  sendDataIn(offsetBytes: number, buffer: DataBuffer, bytes: number, last: boolean): void {
    if (!this.over) {
      assert.equal(offsetBytes, this.#dataInBytes, "Data-In comes without gaps")
      assert.equal(this.last, false, "nothing comes after the last Data-In")
      const sent = Math.max(0, Math.min(bytes, this.dataInBytesMax - offsetBytes))
      this.#dataIn.push(Uint8Array.from(buffer.bytes.subarray(0, sent)))
      this.#dataInBytes += bytes
      this.last = last
    }
    buffer.release()
  }

  receiveDataOut(offsetBytes: number, bytes: number): Eventually<DataBuffer> {
    assert.equal(offsetBytes, this.#dataOutBytes, "Data-Out is fetched in order")
    assert.ok(offsetBytes + bytes <= this.dataOutBytesMax, "Data-Out stays within what is announced")
    this.#dataOutBytes += bytes
    const memory = Buffer.alloc(bytes)
    memory.set(this.#options.dataOut?.subarray(offsetBytes, offsetBytes + bytes) ?? [])
    return this.#lend(memory)
  }

  sendCommandComplete(status: number, sense?: Uint8Array): void {
    if (this.over) return
    this.status = status
    this.senseData = sense
    this.#end(this)
  }

  abort(): void {
    assert.equal(this.aborts, 0, "a task is aborted once")
    this.aborts++
    for (const { fail } of this.#held.splice(0)) fail(taskAborted())
    this.#end(this)
  }

  #lend(bytes: Uint8Array): Eventually<DataBuffer> {
    assert.ok(bytes.length >= 1 && bytes.length <= TRANSFER_STEP_BYTES, "a step is 1 byte to 1 MiB")
    if (this.over) throw taskAborted()
    if (this.#options.buffers === undefined) return this.#buffer(bytes)
    if (this.#options.buffers === "slow") return Promise.resolve(this.#buffer(bytes))
    return new Promise((resolve, reject) => {
      this.#held.push({ give: () => resolve(this.#buffer(bytes)), fail: reject })
    })
  }

  #buffer(bytes: Uint8Array): DataBuffer {
    let released = false
    this.buffersOut++
    return {
      bytes,
      release: () => {
        assert.equal(released, false, "a buffer is released once")
        released = true
        this.buffersOut--
        bytes.fill(0x5a) // whoever looks at it afterwards sees nonsense
      },
    }
  }
}

const taskAborted = (): SanletError => new SanletError("ERR_TASK_ABORTED", "the task was aborted")

/** Asserts GOOD and gives the Data-In. */
export function good(task: TestTask): Uint8Array {
  const { status, sense } = task
  assert.equal(status, Status.good, sense ? `sense ${sense.key}/${sense.asc.toString(16)}` : "GOOD expected")
  assert.equal(task.buffersOut, 0, "every buffer is given back")
  return task.dataIn
}

/** Asserts CHECK CONDITION with this sense key and additional sense code, and gives the sense. */
export function checkCondition(task: TestTask, key: number, asc: number): Sense {
  assert.equal(task.status, Status.checkCondition)
  const { sense } = task
  assert.ok(sense, "sense data expected")
  const codes = (k: number, a: number): string => `${k.toString(16)}/${a.toString(16).padStart(4, "0")}`
  assert.equal(codes(sense.key, sense.asc), codes(key, asc))
  assert.equal(task.buffersOut, 0, "every buffer is given back")
  return sense
}
