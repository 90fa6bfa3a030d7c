import type { DataBuffer } from "../../base/buffers.ts"
import type { DatamoverKeys, RunningNumbers } from "../../iscsi/da.ts"
import { BHS_BYTES, ISCSI_RESERVED_TAG, Opcode } from "../../iscsi/pdu/index.ts"
import { crc32c } from "../../wire/crc32c.ts"
import type { Memory } from "../shared/memory.ts"
import type { PduWriter } from "./pdu-writer.ts"
import type { TargetTasks } from "./target-task.ts"
import { TransferBuffer } from "../shared/transfer-buffer.ts"

const FINAL = 0x80
const STATUS_PRESENT = 0x01
const RESIDUAL_FLAGS = 0x06
const BIDIRECTIONAL_RESIDUAL_FLAGS = 0x18

/**
 * Makes Data-In PDUs (RFC 7143 §11.7) of what putData is given. The last one of a task stays open for a moment: a
 * SCSI Response that only says GOOD joins it ("phase collapse", §11.7.3).
 */
export class DataInSender {
  readonly #writer: PduWriter
  readonly #tasks: TargetTasks
  numbers!: RunningNumbers
  #pduBytesMax = 0
  #burstBytes = 0
  /** The header of the open Data-In, its task, and the DataSN that would come next. */
  #openMemory: Memory | undefined
  #openAt = 0
  #openTag = 0
  #openSn = 0

  constructor(writer: PduWriter, tasks: TargetTasks, keys: DatamoverKeys) {
    this.#writer = writer
    this.#tasks = tasks
    this.setKeys(keys)
  }

  setKeys(keys: DatamoverKeys): void {
    // Whole words, so that only the last PDU of a buffer is padded.
    this.#pduBytesMax = keys.maxSendDataSegmentLength & ~3
    this.#burstBytes = keys.maxBurstLength & ~3
  }

  put(
    initiatorTaskTag: number,
    bufferOffset: number,
    buffer: DataBuffer,
    bytes: number,
    final: boolean,
  ): void {
    // A task of one PDU, as most are, needs no entry: what its response has to know is kept with the open Data-In.
    const single = final && bufferOffset === 0 && bytes <= this.#pduBytesMax && bytes <= this.#burstBytes
    const task = single ? undefined : this.#tasks.open(initiatorTaskTag)
    let at = 0
    while (at < bytes) {
      const offset = bufferOffset + at
      const sequenceBytes = this.#burstBytes - (offset % this.#burstBytes)
      const pduBytes = Math.min(bytes - at, this.#pduBytesMax, sequenceBytes)
      const last = final && at + pduBytes === bytes
      // F ends a sequence of at most MaxBurstLength, or the data of the task.
      const flags = last || pduBytes === sequenceBytes ? FINAL : 0
      const dataSn = task === undefined ? 0 : task.dataSn++
      const own = buffer instanceof TransferBuffer ? buffer : undefined
      const inPlace = own !== undefined && at === 0
      this.#putHeader(inPlace ? own : undefined, initiatorTaskTag, offset, pduBytes, dataSn, flags, last)
      if (own) this.#putOwn(own, at, pduBytes, at + pduBytes === bytes)
      else this.#writer.putData(buffer.bytes.subarray(at, at + pduBytes))
      at += pduBytes
    }
    this.#writer.queue.lend(buffer)
  }

  /** A header, in place before the data of `own`, or in memory taken for it. */
  #putHeader(
    own: TransferBuffer | undefined,
    initiatorTaskTag: number,
    offset: number,
    dataBytes: number,
    dataSn: number,
    flags: number,
    last: boolean,
  ): void {
    const writer = this.#writer
    const headerBytes = BHS_BYTES + writer.headerDigestBytes
    const at = own === undefined ? writer.arena.take(headerBytes) : own.at - headerBytes
    const memory = own === undefined ? writer.arena.memory : own.memory
    if (own === undefined) writer.queue.lend(memory)
    const { view } = memory
    view.setUint32(at, (Opcode.dataIn << 24) | (flags << 16))
    view.setUint32(at + 4, dataBytes)
    view.setUint32(at + 8, 0)
    view.setUint32(at + 12, 0)
    view.setUint32(at + 16, initiatorTaskTag)
    view.setUint32(at + 20, ISCSI_RESERVED_TAG)
    view.setUint32(at + 24, 0)
    view.setUint32(at + 28, this.numbers.expCmdSn)
    view.setUint32(at + 32, this.numbers.maxCmdSn)
    view.setUint32(at + 36, dataSn)
    view.setUint32(at + 40, offset)
    view.setUint32(at + 44, 0)
    writer.queue.append(memory, at, at + headerBytes)
    if (last) this.#leaveOpen(memory, at, initiatorTaskTag, dataSn + 1)
    else writer.digestHeader(memory, at, BHS_BYTES)
  }

  /** Data that lies in memory of ours; behind its end there is room for the trailer. */
  #putOwn(own: TransferBuffer, at: number, bytes: number, end: boolean): void {
    const writer = this.#writer
    const start = own.at + at
    const trailerBytes = writer.trailerBytes(bytes)
    if (end && trailerBytes > 0) writer.makeTrailer(own.memory, start, bytes)
    writer.queue.append(own.memory, start, start + bytes + (end ? trailerBytes : 0))
    if (end || trailerBytes === 0) return
    const { bytes: memory } = own.memory
    writer.putTrailer(bytes, writer.dataDigestBytes > 0 ? crc32c(memory, start, start + bytes) : 0)
  }

  #leaveOpen(memory: Memory, at: number, initiatorTaskTag: number, nextSn: number): void {
    this.seal()
    this.#openMemory = memory
    this.#openAt = at
    this.#openTag = initiatorTaskTag
    this.#openSn = nextSn
  }

  /** The open Data-In becomes final; its response will have to know how many PDUs there were. */
  seal(): void {
    const memory = this.#openMemory
    if (memory === undefined) return
    this.#openMemory = undefined
    this.#writer.digestHeader(memory, this.#openAt, BHS_BYTES)
    this.#tasks.open(this.#openTag).dataSn = this.#openSn
  }

  /** Lets a SCSI Response without data join the open Data-In, if that is its task's and it only says GOOD. */
  join(response: Uint8Array, initiatorTaskTag: number): boolean {
    const memory = this.#openMemory
    if (memory === undefined || initiatorTaskTag !== this.#openTag) return false
    // Anything but GOOD "MUST be sent in a SCSI Response PDU" (§11.7.3).
    if (response[2] !== 0 || response[3] !== 0) return false
    const flags = response[1]!
    if ((flags & BIDIRECTIONAL_RESIDUAL_FLAGS) !== 0) return false
    const { bytes } = memory
    const at = this.#openAt
    bytes[at + 1] = FINAL | STATUS_PRESENT | (flags & RESIDUAL_FLAGS)
    // StatSN, ExpCmdSN, MaxCmdSN; Residual Count.
    for (let i = 24; i < 36; i++) bytes[at + i] = response[i]!
    for (let i = 44; i < 48; i++) bytes[at + i] = response[i]!
    this.#openMemory = undefined
    this.#writer.digestHeader(memory, at, BHS_BYTES)
    return true
  }

  /** The task has ended without a response. */
  forget(initiatorTaskTag: number): void {
    if (this.#openTag === initiatorTaskTag) this.seal()
  }
}
