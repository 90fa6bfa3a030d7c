import type { DataBuffer } from "../base/buffers.ts"
import type { Eventually } from "../base/completion.ts"
import { type ReceivedPdu, TaskAbortedError } from "../iscsi/da.ts"
import { DataOut } from "../iscsi/pdu/index.ts"
import { RejectReason } from "../iscsi/spec/index.ts"
import type { SessionTask } from "../iscsi/session/session-user.ts"
import type { TargetConnection } from "../iscsi/session/target-connection.ts"
import type { Nexus } from "../scsi/sam/nexus.ts"
import { Task, type TaskAttribute } from "../scsi/sam/task.ts"

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
  #pieces: Piece[] | undefined
  #unsolicitedBytes = 0
  #unsolicitedBytesMax = 0
  #unsolicitedComplete = true
  #dataSn = 0
  #waiting: Waiting | undefined
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
    cmdSn: number,
    immediate: boolean,
  ) {
    super(nexus, lunHigh, lunLow, tag, attribute, cdb, dataOutBytesMax, dataInBytesMax)
    this.connection = connection
    this.cmdSn = cmdSn
    this.immediate = immediate
  }

  /** Whether the task has ended, with a status or without. */
  get over(): boolean {
    return this.#over
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

  dataOutReceived(pdu: ReceivedPdu): void {
    const data = new DataOut(pdu.view, pdu.at)
    const endBytes = data.bufferOffset + pdu.dataBytes
    const expected =
      !this.#unsolicitedComplete &&
      data.bufferOffset === this.#unsolicitedBytes &&
      data.dataSn === this.#dataSn &&
      endBytes <= this.#unsolicitedBytesMax
    if (!expected) {
      this.connection.reject(RejectReason.protocolError, pdu)
      return this.connection.fail("unsolicited data out of order or beyond FirstBurstLength")
    }
    this.#dataSn++
    if (pdu.dataBytes > 0) {
      this.#pieces ??= []
      this.#pieces.push({ offsetBytes: data.bufferOffset, buffer: pdu.hold() })
      this.#unsolicitedBytes = endBytes
    }
    if (!data.final) return
    this.#unsolicitedComplete = true
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
        throw error
      },
    )
  }

  sendCommandComplete(status: number, sense?: Uint8Array): void {
    if (this.#over) return
    this.#end()
    const response = this.connection.header.scsi(this.tag)
    response.status = status
    if (this.dataOutBytesMax > 0 || this.dataOutBytes > 0) this.#outResidual(response)
    else this.#inResidual(response)
    this.connection.send(response, sense && withLength(sense))
  }

  #outResidual(response: ReturnType<TargetConnection["header"]["scsi"]>): void {
    const residual = this.dataOutBytesMax - this.dataOutBytes
    response.underflow = residual > 0
    response.overflow = residual < 0
    response.residualCount = Math.abs(residual)
    if (this.dataInBytesMax === 0) return
    const readResidual = this.dataInBytesMax - this.dataInBytes
    response.bidirectionalReadUnderflow = readResidual > 0
    response.bidirectionalReadOverflow = readResidual < 0
    response.bidirectionalReadResidualCount = Math.abs(readResidual)
  }

  #inResidual(response: ReturnType<TargetConnection["header"]["scsi"]>): void {
    const residual = this.dataInBytesMax - this.dataInBytes
    if (residual === 0) return
    response.underflow = residual > 0
    response.overflow = residual < 0
    response.residualCount = Math.abs(residual)
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
    if (this.#pieces) {
      for (const piece of this.#pieces) piece.buffer.release()
      this.#pieces = undefined
    }
    const session = this.connection.session!
    session.tasks.delete(this.tag)
    session.commandRetired(this.immediate)
  }
}

/** Sense data as a SCSI Response carries it: behind its length in two bytes (RFC 7143 §11.4.7). */
function withLength(sense: Uint8Array): Uint8Array {
  const data = new Uint8Array(2 + sense.length)
  data[0] = sense.length >> 8
  data[1] = sense.length & 0xff
  data.set(sense, 2)
  return data
}
