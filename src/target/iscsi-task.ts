import type { DataBuffer } from "../base/buffers.ts"
import type { Eventually } from "../base/completion.ts"
import { DataTransferError, type ReceivedPdu, TaskAbortedError } from "../iscsi/da.ts"
import { DataOut, type ScsiResponse } from "../iscsi/pdu/index.ts"
import { RejectReason } from "../iscsi/spec/index.ts"
import type { SessionTask } from "../iscsi/session/session-user.ts"
import type { TargetConnection } from "../iscsi/session/target-connection.ts"
import type { Nexus } from "../scsi/sam/nexus.ts"
import { Task, type TaskAttribute } from "../scsi/sam/task.ts"
import type { SenseError } from "../scsi/spec/sense.ts"
import { incorrectAmountOfData, protocolServiceCrcError, unexpectedUnsolicitedData } from "./data-errors.ts"

/** A piece of write data that came unasked. */
interface Piece {
  readonly offsetBytes: number
  readonly buffer: DataBuffer
}

interface Waiting {
  readonly offsetBytes: number
  readonly bytes: number
  readonly resolve: (buffer: DataBuffer | Promise<DataBuffer>) => void
  readonly reject: (error: Error) => void
}

/**
 * A SCSI command that came over iSCSI: SAM's transport services in terms of the datamover's primitives. Unsolicited
 * data stays in the receive buffer it came in, and goes to the medium from there when it is all there is.
 */
export class IscsiTask extends Task implements SessionTask {
  readonly connection: TargetConnection
  readonly cmdSn: number
  readonly immediate: boolean
  /** Both R and W: residual counts go to fields of their own. */
  readonly bidirectional: boolean
  #pieces: Piece[] | undefined
  /** Unsolicited bytes that have come, immediate data included, and how many are to come. */
  #unsolicitedBytes = 0
  #unsolicitedBytesMax = 0
  #unsolicitedComplete = true
  #dataSn = 0
  /** What is wrong with the unsolicited data: to fetch it fails with this. */
  #dataError: SenseError | undefined
  #waiting: Waiting | undefined
  /** The command has ended before its unsolicited data has. */
  #deferred: { readonly status: number; readonly sense: Uint8Array | undefined } | undefined
  #over = false

  constructor(
    connection: TargetConnection,
    nexus: Nexus,
    lunHigh: number,
    lunLow: number,
    tag: number,
    attribute: TaskAttribute,
    cdb: Uint8Array,
    dataOutBytesMax: number,
    dataInBytesMax: number,
    bidirectional: boolean,
    cmdSn: number,
    immediate: boolean,
  ) {
    super(nexus, lunHigh, lunLow, tag, attribute, cdb, dataOutBytesMax, dataInBytesMax)
    this.connection = connection
    this.bidirectional = bidirectional
    this.cmdSn = cmdSn
    this.immediate = immediate
  }

  // ------------------------------------------------------------------------------------ unsolicited data

  /** The immediate data of the command. */
  takeImmediateData(pdu: ReceivedPdu): void {
    this.#unsolicitedBytes = pdu.dataBytes
    this.#pieces = [{ offsetBytes: 0, buffer: pdu.hold() }]
  }

  /** Data-Out PDUs follow unasked (F=0), up to `bytesMax` altogether with the immediate data. */
  expectUnsolicitedData(bytesMax: number): void {
    this.#unsolicitedBytesMax = bytesMax
    this.#unsolicitedComplete = false
  }

  dataOutReceived(pdu: ReceivedPdu, damaged: boolean): void {
    const data = new DataOut(pdu.view, pdu.at)
    if (this.#unsolicitedComplete) return this.#fail(pdu, "unsolicited data where none was announced")
    // What comes for a command that has failed already is only waited for.
    if (this.#deferred === undefined && this.#dataError === undefined) {
      const due = this.#dataSn++
      if (damaged) this.#dataError = this.#dataLost("the data digest of unsolicited data is wrong")
      else if (data.dataSn !== due) {
        this.#dataError = this.#dataLost(
          `unsolicited Data-Out number ${data.dataSn} came where ${due} was due`,
        )
      } else if (!this.#takePiece(pdu, data.bufferOffset)) {
        return this.#fail(pdu, "unsolicited data out of order, though DataPDUInOrder=Yes")
      }
    }
    if (data.final) this.#unsolicitedEnded()
  }

  /** Some data will never come: that ends the command, and nothing else (RFC 7143 §7.8, §7.9). */
  #dataLost(reason: string): SenseError {
    const { log, fields } = this.connection
    log.warn({ ...fields, reason, tag: this.tag }, "write data lost")
    return protocolServiceCrcError()
  }

  #fail(pdu: ReceivedPdu, message: string): void {
    this.connection.reject(RejectReason.protocolError, pdu)
    this.connection.fail(message)
  }

  /** False: it is out of order. */
  #takePiece(pdu: ReceivedPdu, offsetBytes: number): boolean {
    if (offsetBytes + pdu.dataBytes > this.#unsolicitedBytesMax) this.#dataError = unexpectedUnsolicitedData()
    else if (this.connection.keys.dataPduInOrder && offsetBytes !== this.#unsolicitedBytes) return false
    else if (pdu.dataBytes > 0) {
      this.#pieces ??= []
      this.#pieces.push({ offsetBytes, buffer: pdu.hold() })
      this.#unsolicitedBytes += pdu.dataBytes
    }
    return true
  }

  /** The last of it has come: now the command may fetch, or its response may go (RFC 7143 §11.4.2). */
  #unsolicitedEnded(): void {
    this.#unsolicitedComplete = true
    if (this.#deferred) return this.answerNow()
    if (this.#unsolicitedBytes !== this.#unsolicitedBytesMax || !isGapless(this.#pieces)) {
      this.#dataError ??= incorrectAmountOfData()
    }
    const waiting = this.#waiting
    if (!waiting) return
    this.#waiting = undefined
    try {
      waiting.resolve(this.#fetch(waiting.offsetBytes, waiting.bytes))
    } catch (error) {
      waiting.reject(error as Error)
    }
  }

  // ---------------------------------------------------------------------------------- transport services

  allocateDataIn(bytes: number): Eventually<DataBuffer> {
    if (this.#over) throw new TaskAbortedError()
    return this.connection.datamover.allocateDataIn(this.tag, bytes)
  }

  sendDataIn(offsetBytes: number, buffer: DataBuffer, bytes: number, last: boolean): void {
    const sendable = Math.min(bytes, this.dataInBytesMax - offsetBytes)
    if (this.#over || sendable <= 0) return buffer.release()
    const final = last || offsetBytes + sendable === this.dataInBytesMax
    this.connection.datamover.putData(this.tag, offsetBytes, buffer, sendable, final)
  }

  receiveDataOut(offsetBytes: number, bytes: number): Eventually<DataBuffer> {
    if (this.#over) throw new TaskAbortedError()
    if (this.#unsolicitedComplete) return this.#fetch(offsetBytes, bytes)
    return new Promise((resolve, reject) => {
      this.#waiting = { offsetBytes, bytes, resolve, reject }
    })
  }

  #fetch(offsetBytes: number, bytes: number): Eventually<DataBuffer> {
    if (this.#dataError) throw this.#dataError
    const only = this.#pieces?.length === 1 ? this.#pieces[0] : undefined
    if (only && offsetBytes === 0 && only.buffer.bytes.length === bytes) {
      this.#pieces = undefined
      return only.buffer
    }
    const memory = this.connection.datamover.allocateDataOut(this.tag, bytes)
    if (memory instanceof Promise) return memory.then((buffer) => this.#fill(offsetBytes, bytes, buffer))
    return this.#fill(offsetBytes, bytes, memory)
  }

  #fill(offsetBytes: number, bytes: number, buffer: DataBuffer): Eventually<DataBuffer> {
    if (this.#over) {
      buffer.release()
      throw new TaskAbortedError()
    }
    const endBytes = offsetBytes + bytes
    for (const piece of this.#pieces ?? []) {
      const from = Math.max(offsetBytes, piece.offsetBytes)
      const to = Math.min(endBytes, piece.offsetBytes + piece.buffer.bytes.length)
      if (from >= to) continue
      const part = piece.buffer.bytes.subarray(from - piece.offsetBytes, to - piece.offsetBytes)
      buffer.bytes.set(part, from - offsetBytes)
    }
    const solicitedFrom = Math.max(offsetBytes, this.#unsolicitedBytes)
    if (solicitedFrom >= endBytes) return buffer
    const rest = buffer.bytes.subarray(solicitedFrom - offsetBytes, bytes)
    return this.connection.datamover.getData(this.tag, this.lunHigh, this.lunLow, solicitedFrom, rest).then(
      () => buffer,
      (error: Error) => {
        buffer.release()
        throw error instanceof DataTransferError ? this.#dataLost(error.message) : error
      },
    )
  }

  sendCommandComplete(status: number, sense?: Uint8Array): void {
    if (this.#over || this.#deferred) return
    if (this.#unsolicitedComplete) return this.#respond(status, sense)
    // "The target MUST wait until it receives a Data PDU with the F bit set" (RFC 7143 §11.4.2).
    this.#deferred = { status, sense }
    this.#releasePieces()
  }

  /** Sends the response that waits for the last of the unsolicited data, if one does. */
  answerNow(): void {
    if (this.#over || !this.#deferred) return
    const { status, sense } = this.#deferred
    this.#respond(status, sense)
  }

  #respond(status: number, sense: Uint8Array | undefined): void {
    this.#end()
    const response = this.connection.header.scsi(this.tag)
    response.status = status
    this.#setResiduals(response)
    this.connection.send(response, sense && withLength(sense))
  }

  /** RFC 7143 §11.4.5: for a bidirectional command the count is that of the write, the read has its own. */
  #setResiduals(response: ScsiResponse): void {
    const outResidual = this.dataOutBytesMax - this.dataOutBytes
    const inResidual = this.dataInBytesMax - this.dataInBytes
    // Where the initiator expects no data at all, it's the overflow of what the command would have moved.
    const isWrite = this.bidirectional || this.dataOutBytesMax > 0 || (inResidual === 0 && outResidual !== 0)
    const residual = isWrite ? outResidual : inResidual
    if (residual !== 0) {
      response.underflow = residual > 0
      response.overflow = residual < 0
      response.residualCount = Math.abs(residual)
    }
    if (!this.bidirectional || inResidual === 0) return
    response.bidirectionalReadUnderflow = inResidual > 0
    response.bidirectionalReadOverflow = inResidual < 0
    response.bidirectionalReadResidualCount = Math.abs(inResidual)
  }

  abort(): void {
    if (this.#over) return
    this.#end()
    this.connection.datamover.deallocateTaskResources(this.tag)
    this.#waiting?.reject(new TaskAbortedError())
    this.#waiting = undefined
  }

  #end(): void {
    this.#over = true
    this.#releasePieces()
    const session = this.connection.session!
    if (session.tasks.get(this.tag) === this) session.tasks.delete(this.tag)
    session.commandRetired(this.immediate)
  }

  #releasePieces(): void {
    if (this.#pieces === undefined) return
    for (const piece of this.#pieces) piece.buffer.release()
    this.#pieces = undefined
  }
}

/** Whether the pieces, in whatever order they came, are one run from the beginning of the data on. */
function isGapless(pieces: readonly Piece[] | undefined): boolean {
  if (pieces === undefined) return true
  let endBytes = 0
  for (const { offsetBytes, buffer } of pieces.toSorted((a, b) => a.offsetBytes - b.offsetBytes)) {
    if (offsetBytes !== endBytes) return false
    endBytes += buffer.bytes.length
  }
  return true
}

/** Sense data as a SCSI Response carries it: behind its length in two bytes (RFC 7143 §11.4.7). */
function withLength(sense: Uint8Array): Uint8Array {
  const data = new Uint8Array(2 + sense.length)
  data[0] = sense.length >> 8
  data[1] = sense.length & 0xff
  data.set(sense, 2)
  return data
}
