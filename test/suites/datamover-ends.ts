/** Both ends of a connection as the contract suite for datamovers needs them: they record, and serve simple commands. */
import assert from "node:assert/strict"
import { isPromise } from "../../src/base/completion.ts"
import { TRANSFER_STEP_BYTES } from "../../src/base/limits.ts"
import { SeededRandom } from "../../src/base/random.ts"
import type {
  DatamoverKeys,
  DatamoverUpcalls,
  InitiatorDatamover,
  ReceivedPdu,
  RunningNumbers,
  TargetDatamover,
} from "../../src/iscsi/da.ts"
import { DataTransferError, TaskAbortedError } from "../../src/iscsi/da.ts"
import { decodePdu, encodePdu, Opcode, ScsiCommand, ScsiResponse } from "../../src/iscsi/pdu/index.ts"
import type { PduRecord } from "../../src/iscsi/pdu/index.ts"

/** Two datamovers joined back to back, and what makes time pass for them. */
export interface DatamoverPair {
  readonly target: TargetDatamover
  readonly initiator: InitiatorDatamover
  /** Lets things happen until `done`; throws when that takes too long. */
  until(what: string, done: () => boolean): Promise<void>
  /** Lets a moment pass in which whatever can happen has happened. */
  settle(): Promise<void>
  /** Bytes of task memory still lent. */
  lentBytes(): number
  /** Where data digests exist: the next bytes like these that the initiator sends arrive damaged. */
  damage?(bytes: Uint8Array): void
  /** With RDMA: nothing gets through between the two ends any more, until it does again. */
  readonly stall?: (stalled: boolean) => void
  /** A system is between the ends that takes some megabytes, or some dozen, before it says no. */
  readonly systemBuffers?: boolean
  /** With RDMA: data for a command that has ended at the initiator finds no memory, which ends the connection. */
  readonly lateDataEndsConnection?: boolean
  dispose(): Promise<void>
}

export const defaultKeys: DatamoverKeys = {
  headerDigest: "None",
  dataDigest: "None",
  maxSendDataSegmentLength: 262144,
  maxRecvDataSegmentLength: 262144,
  maxBurstLength: 1048576,
  firstBurstLength: 65536,
  maxOutstandingR2T: 4,
  initialR2T: true,
  immediateData: true,
  dataPduInOrder: true,
  dataSequenceInOrder: true,
  errorRecoveryLevel: 0,
}

export const CHECK_CONDITION = 2

const source = new SeededRandom(7).fill(new Uint8Array(1 << 16))

/** What a task reads or writes: the same bytes every time for its tag, different for each tag and place. */
export function fillPattern(into: Uint8Array, tag: number, offset: number): void {
  for (let i = 0; i < into.length; i++) {
    const at = offset + i
    into[i] = source[(at + tag * 257) & 0xffff]! ^ (at >>> 16)
  }
}

export function patternOf(tag: number, bytes: number): Uint8Array {
  const data = new Uint8Array(bytes)
  fillPattern(data, tag, 0)
  return data
}

/** deepEqual for megabytes. */
export function assertBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  assert.equal(actual?.length, expected.length)
  if (Buffer.compare(actual!, expected) === 0) return
  const at = expected.findIndex((byte, i) => byte !== actual![i])
  assert.fail(`byte ${at} of ${expected.length} is ${actual![at]}, not ${expected[at]}`)
}

export interface Seen {
  readonly header: PduRecord
  readonly ahs: Uint8Array
  readonly data: Uint8Array
}

/** Records everything that is notified. */
export class End implements DatamoverUpcalls, RunningNumbers {
  statSn = 100
  expCmdSn = 1
  maxCmdSn = 64
  expStatSn = 1
  readonly seen: Seen[] = []
  readonly formatErrors: { reason: number; message: string }[] = []
  readonly lost: Error[] = []
  numbers: { statSn: number | undefined; expCmdSn: number; maxCmdSn: number } | undefined
  onPdu: (pdu: ReceivedPdu) => void = () => {}

  controlNotify(pdu: ReceivedPdu): void {
    assert.equal(this.lost.length, 0, "nothing comes after the end")
    this.seen.push({
      header: decodePdu(pdu.view, pdu.at)!,
      ahs: pdu.bytes.slice(pdu.ahsAt, pdu.ahsAt + pdu.ahsBytes),
      data: pdu.bytes.slice(pdu.dataAt, pdu.dataAt + pdu.dataBytes),
    })
    this.onPdu(pdu)
  }

  formatErrorNotify(reason: number, message: string): void {
    this.formatErrors.push({ reason, message })
  }

  numbersNotify(statSn: number | undefined, expCmdSn: number, maxCmdSn: number): void {
    this.numbers = { statSn, expCmdSn, maxCmdSn }
  }

  connectionTerminateNotify(error: Error): void {
    this.lost.push(error)
  }

  /** The SCSI Response of a task, once it has come. */
  responseOf(tag: number): PduRecord | undefined {
    return this.seen.find(
      ({ header }) => header["opcode"] === Opcode.scsiResponse && header["initiatorTaskTag"] === tag,
    )?.header
  }
}

/** A target that serves every SCSI Command: reads give the task's pattern, writes are kept. */
export class TargetEnd extends End {
  readonly datamover: TargetDatamover
  readonly written = new Map<number, Uint8Array>()
  readonly aborted: number[] = []
  /** Tasks that ended with CHECK CONDITION, as data of theirs was lost. */
  readonly failed: number[] = []
  /** What escaped although it must not. */
  readonly escaped: unknown[] = []
  running = 0
  /** Set: nobody answers commands. */
  silent = false

  constructor(datamover: TargetDatamover) {
    super()
    this.datamover = datamover
  }

  override onPdu = (pdu: ReceivedPdu): void => {
    if (this.silent || (pdu.view.getUint8(pdu.at) & 0x3f) !== Opcode.scsiCommand) return
    const command = new ScsiCommand(pdu.view, pdu.at)
    const { initiatorTaskTag: tag, expectedDataTransferLength: bytes, write } = command
    this.expCmdSn++
    this.maxCmdSn++
    const immediate = pdu.bytes.slice(pdu.dataAt, pdu.dataAt + pdu.dataBytes)
    if (write) this.#run(tag, this.#write(tag, bytes, immediate))
    else this.read(tag, bytes)
  }

  /** Serves a read. */
  read(tag: number, bytes: number): void {
    this.#run(tag, this.#read(tag, bytes))
  }

  #run(tag: number, served: Promise<void>): void {
    this.running++
    served.then(
      () => this.running--,
      (error: unknown) => {
        this.running--
        if (error instanceof TaskAbortedError) this.aborted.push(tag)
        else if (error instanceof DataTransferError) this.#fail(tag)
        else this.escaped.push(error)
      },
    )
  }

  async #read(tag: number, bytes: number): Promise<void> {
    for (let at = 0; at < bytes; at += TRANSFER_STEP_BYTES) {
      const step = Math.min(TRANSFER_STEP_BYTES, bytes - at)
      const allocated = this.datamover.allocateDataIn(tag, step)
      const buffer = isPromise(allocated) ? await allocated : allocated
      assert.equal(buffer.bytes.length, step)
      fillPattern(buffer.bytes, tag, at)
      this.datamover.putData(tag, at, buffer, step, at + step === bytes)
    }
    this.#respond(tag)
  }

  async #write(tag: number, bytes: number, immediate: Uint8Array): Promise<void> {
    const data = new Uint8Array(bytes)
    data.set(immediate)
    for (let at = immediate.length; at < bytes; at += TRANSFER_STEP_BYTES) {
      const step = Math.min(TRANSFER_STEP_BYTES, bytes - at)
      const allocated = this.datamover.allocateDataOut(tag, step)
      const buffer = isPromise(allocated) ? await allocated : allocated
      try {
        await this.datamover.getData(tag, 0x00010000, 7, at, buffer.bytes)
        data.set(buffer.bytes, at)
      } finally {
        buffer.release()
      }
    }
    this.written.set(tag, data)
    this.#respond(tag)
  }

  #fail(tag: number): void {
    this.failed.push(tag)
    this.#respond(tag, CHECK_CONDITION)
  }

  #respond(tag: number, status = 0): void {
    this.datamover.sendControl(
      encodePdu(ScsiResponse, {
        final: true,
        status,
        initiatorTaskTag: tag,
        statSn: this.statSn++,
        expCmdSn: this.expCmdSn,
        maxCmdSn: this.maxCmdSn,
      }),
    )
  }
}

/** An initiator that sends reads and writes of patterns. */
export class InitiatorEnd extends End {
  readonly datamover: InitiatorDatamover
  readonly dataIn = new Map<number, Uint8Array>()
  #cmdSn = 1

  constructor(datamover: InitiatorDatamover) {
    super()
    this.datamover = datamover
  }

  read(tag: number, bytes: number): void {
    const dataIn = new Uint8Array(bytes)
    this.dataIn.set(tag, dataIn)
    this.datamover.sendCommand(this.#command(tag, bytes, { read: true }), { dataIn, unsolicitedBytes: 0 })
  }

  write(tag: number, bytes: number, immediateBytes = 0): void {
    const dataOut = patternOf(tag, bytes)
    const header = this.#command(tag, bytes, { write: true })
    this.datamover.sendCommand(
      header,
      { dataOut, unsolicitedBytes: immediateBytes },
      immediateBytes > 0 ? dataOut.subarray(0, immediateBytes) : undefined,
    )
  }

  #command(tag: number, bytes: number, direction: { read?: boolean; write?: boolean }): Uint8Array {
    return encodePdu(ScsiCommand, {
      final: true,
      ...direction,
      initiatorTaskTag: tag,
      expectedDataTransferLength: bytes,
      cmdSn: this.#cmdSn++,
      expStatSn: this.expStatSn,
    })
  }
}
