import type { DataBuffer } from "../../base/buffers.ts"
import type { ByteStream } from "../../base/byte-stream.ts"
import type { Eventually } from "../../base/completion.ts"
import { TaskAbortedError } from "../../iscsi/da.ts"
import type { DatamoverUpcalls, RunningNumbers, TargetDatamover } from "../../iscsi/da.ts"
import { BHS_BYTES, ISCSI_RESERVED_TAG, Opcode, RejectReason } from "../../iscsi/pdu/index.ts"
import type { ArrivedPdu } from "../shared/arrived-pdu.ts"
import { TcpConnection } from "./connection.ts"
import type { TcpDatamoverOptions } from "./connection.ts"
import { DataInSender } from "./data-in.ts"
import { DataOutReceiver } from "./data-out.ts"
import type { Sink } from "./framer.ts"
import { TargetTasks } from "./target-task.ts"
import { IS_REQUEST, OPCODE_MASK, uint32At } from "../shared/headers.ts"
import { TaskMemory } from "../shared/task-memory.ts"
import { TransferBuffer } from "../shared/transfer-buffer.ts"

/** The target's end of an iSCSI connection over TCP: Put_Data is Data-In, Get_Data is R2T and Data-Out. */
export class TcpTargetDatamover extends TcpConnection implements TargetDatamover {
  readonly #memory: TaskMemory
  readonly #tasks = new TargetTasks()
  readonly #dataIn: DataInSender
  readonly #dataOut: DataOutReceiver
  readonly #response = new Uint8Array(BHS_BYTES)

  constructor(stream: ByteStream, options: TcpDatamoverOptions) {
    super(stream, options)
    this.#memory = new TaskMemory(options.budget, this.queue)
    this.#dataIn = new DataInSender(this.writer, this.#tasks, this.keys)
    this.#dataOut = new DataOutReceiver(this.writer, this.keys)
  }

  override start(upcalls: DatamoverUpcalls, numbers: RunningNumbers): void {
    this.#dataIn.numbers = numbers
    this.#dataOut.numbers = numbers
    super.start(upcalls, numbers)
  }

  protected override applyKeys(): void {
    super.applyKeys()
    this.#memory.frontBytes = BHS_BYTES + this.writer.headerDigestBytes
    this.#memory.digestBytes = this.writer.dataDigestBytes
    this.#dataIn.setKeys(this.keys)
    this.#dataOut.keys = this.keys
  }

  // ------------------------------------------------------------------------------------------ the iSCSI layer's calls

  allocateDataIn(initiatorTaskTag: number, bytes: number): Eventually<DataBuffer> {
    return this.#memory.allocateDataIn(initiatorTaskTag, bytes)
  }

  allocateDataOut(initiatorTaskTag: number, bytes: number): Eventually<DataBuffer> {
    return this.#memory.allocateDataOut(initiatorTaskTag, bytes)
  }

  putData(
    initiatorTaskTag: number,
    bufferOffset: number,
    buffer: DataBuffer,
    bytes: number,
    final: boolean,
  ): void {
    if (this.over) return buffer.release()
    if (buffer instanceof TransferBuffer) this.#memory.queued(buffer)
    this.#dataIn.put(initiatorTaskTag, bufferOffset, buffer, bytes, final)
    // The last Data-In waits a moment for its response.
    this.leave(final)
  }

  getData(
    initiatorTaskTag: number,
    lunHigh: number,
    lunLow: number,
    bufferOffset: number,
    into: Uint8Array,
  ): Promise<void> {
    if (this.over) return Promise.reject(new TaskAbortedError("the connection has ended"))
    return new Promise((resolve, reject) => {
      const task = this.#tasks.open(initiatorTaskTag)
      task.transfers.push({
        lunHigh,
        lunLow,
        bufferOffset,
        into,
        requestedBytes: 0,
        receivedBytes: 0,
        resolve,
        reject,
      })
      this.#dataIn.seal()
      this.#dataOut.request(task)
      this.leave()
    })
  }

  override sendControl(header: Uint8Array, data?: Uint8Array | DataBuffer): void {
    if ((header[0]! & OPCODE_MASK) !== Opcode.scsiResponse || this.over)
      return super.sendControl(header, data)
    const initiatorTaskTag = uint32At(header, 16)
    if (data === undefined && this.#dataIn.join(header, initiatorTaskTag)) {
      this.#endTask(initiatorTaskTag)
      return this.leave()
    }
    this.#dataIn.seal()
    const expDataSn = this.#endTask(initiatorTaskTag)
    super.sendControl(expDataSn === 0 ? header : this.#withExpDataSn(header, expDataSn), data)
  }

  /** How many Data-In and R2T PDUs a task had is known here alone. */
  #withExpDataSn(header: Uint8Array, expDataSn: number): Uint8Array {
    const response = this.#response
    response.set(header)
    response[36] = expDataSn >>> 24
    response[37] = expDataSn >>> 16
    response[38] = expDataSn >>> 8
    response[39] = expDataSn
    return response
  }

  deallocateTaskResources(initiatorTaskTag: number): void {
    if (this.over) return
    this.#dataIn.forget(initiatorTaskTag)
    this.#endTask(initiatorTaskTag)
  }

  /** Nothing is waited for any more, not even what was asked for. Returns how many numbered PDUs the task had. */
  #endTask(initiatorTaskTag: number): number {
    this.#memory.abort(initiatorTaskTag)
    const task = this.#tasks.take(initiatorTaskTag)
    if (!task) return 0
    if (task.transfers.length > 0) {
      const receiving = this.#dataOut.abort(task)
      task.abort()
      if (receiving) this.loseSink()
    }
    return task.dataSn
  }

  // ------------------------------------------------------------------------------------------ what arrives

  begins(pdu: ArrivedPdu, sink: Sink): boolean {
    if (!isSolicitedDataOut(pdu)) return false
    this.#dataOut.begin(pdu, sink)
    return true
  }

  arrived(pdu: ArrivedPdu): void {
    const opcode = pdu.view.getUint8(pdu.at) & OPCODE_MASK
    if (IS_REQUEST[opcode] === 0) {
      const message = `opcode 0x${opcode.toString(16)} is none a target takes`
      return this.upcalls.formatErrorNotify(RejectReason.commandNotSupported, message, pdu)
    }
    if (pdu.ahsBytes > 0 && opcode !== Opcode.scsiCommand) {
      const message = "additional header segments belong to SCSI Commands alone"
      return this.upcalls.formatErrorNotify(RejectReason.protocolError, message, pdu)
    }
    this.upcalls.controlNotify(pdu)
  }

  placed(pdu: ArrivedPdu): void {
    const complaint = this.#dataOut.placed()
    if (complaint) this.upcalls.formatErrorNotify(complaint.reason, complaint.message, pdu)
  }

  override damaged(pdu: ArrivedPdu): void {
    const complaint = isSolicitedDataOut(pdu) ? this.#dataOut.damaged() : undefined
    if (complaint) this.upcalls.formatErrorNotify(complaint.reason, complaint.message, pdu)
    else super.damaged(pdu)
  }

  protected settle(): void {
    this.#tasks.abortAll()
    this.#memory.abortAll()
  }

  protected refill(): void {
    this.#memory.serve()
  }

  protected seal(): void {
    this.#dataIn.seal()
  }
}

/** Whether it answers an R2T; unsolicited data is the iSCSI layer's. */
function isSolicitedDataOut({ view, at, ahsBytes }: ArrivedPdu): boolean {
  const isDataOut = (view.getUint8(at) & OPCODE_MASK) === Opcode.dataOut && ahsBytes === 0
  return isDataOut && view.getUint32(at + 20) !== ISCSI_RESERVED_TAG
}
