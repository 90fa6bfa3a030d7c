import type { ByteStream } from "../../base/byte-stream.ts"
import type { CommandBuffers, DatamoverUpcalls, InitiatorDatamover, RunningNumbers } from "../../iscsi/da.ts"
import { BHS_BYTES, Opcode, RejectReason } from "../../iscsi/pdu/index.ts"
import { serialAdd } from "../../wire/serial.ts"
import { ArrivedPdu } from "../shared/arrived-pdu.ts"
import { TcpConnection } from "./connection.ts"
import type { TcpDatamoverOptions } from "./connection.ts"
import { DataOutSender } from "./data-out-sender.ts"
import type { Sink } from "./framer.ts"
import { InitiatorTask } from "./initiator-task.ts"
import { IS_RESPONSE, OPCODE_MASK, uint32At } from "../shared/headers.ts"
import { standaloneMemory } from "../shared/memory.ts"

const FINAL = 0x80
const OVERFLOW = 0x04
const UNDERFLOW = 0x02
const STATUS_PRESENT = 0x01

/** The initiator's end of an iSCSI connection over TCP: what the target puts and gets lies in the commands' buffers. */
export class TcpInitiatorDatamover extends TcpConnection implements InitiatorDatamover {
  readonly #tasks = new Map<number, InitiatorTask>()
  readonly #dataOut: DataOutSender
  /** Of the Data-In being received: its task, or what is wrong with it. */
  #task: InitiatorTask | undefined
  #complaint: string | undefined
  /** The SCSI Response a Data-In with status stands for. */
  readonly #response = new ArrivedPdu(standaloneMemory(BHS_BYTES))

  constructor(stream: ByteStream, options: TcpDatamoverOptions) {
    super(stream, options)
    this.#dataOut = new DataOutSender(this.writer, this.keys)
  }

  override start(upcalls: DatamoverUpcalls, numbers: RunningNumbers): void {
    this.#dataOut.numbers = numbers
    super.start(upcalls, numbers)
  }

  protected override applyKeys(): void {
    super.applyKeys()
    this.#dataOut.keys = this.keys
  }

  // ------------------------------------------------------------------------------------------ the iSCSI layer's calls

  sendCommand(header: Uint8Array, buffers: CommandBuffers, immediateData?: Uint8Array): void {
    if (this.over) return
    const tag = uint32At(header, 16)
    this.#tasks.set(tag, new InitiatorTask(tag, buffers.dataOut, buffers.dataIn))
    // It is a part of dataOut, which stays as it is until the response.
    if (immediateData) this.writer.putFrom(header, immediateData)
    else this.writer.put(header, undefined)
    this.leave()
  }

  deallocateTaskResources(initiatorTaskTag: number): void {
    const task = this.#tasks.get(initiatorTaskTag)
    if (!task) return
    this.#endTask(task)
    if (this.#task !== task) return
    this.#task = undefined
    this.loseSink()
  }

  #endTask(task: InitiatorTask): void {
    this.#tasks.delete(task.initiatorTaskTag)
    if (task.dataOut) this.#dataOut.forget(task)
  }

  // ------------------------------------------------------------------------------------------ what arrives

  begins(pdu: ArrivedPdu, sink: Sink): boolean {
    const { view, at } = pdu
    if ((view.getUint8(at) & OPCODE_MASK) !== Opcode.dataIn || pdu.ahsBytes > 0) return false
    const task = this.#tasks.get(view.getUint32(at + 16))
    this.#task = task
    this.#complaint = undefined
    // Data of a task that has ended here goes nowhere.
    if (!task) return true
    const offset = view.getUint32(at + 40)
    this.#complaint = task.takeDataIn(
      offset,
      pdu.dataBytes,
      view.getUint32(at + 36),
      this.keys.dataPduInOrder && this.keys.dataSequenceInOrder,
    )
    if (this.#complaint === undefined) {
      sink.bytes = task.dataIn
      sink.at = offset
    }
    return true
  }

  placed(pdu: ArrivedPdu): void {
    const task = this.#task
    this.#task = undefined
    const { view, at } = pdu
    if (this.#complaint !== undefined) {
      return this.upcalls.formatErrorNotify(RejectReason.protocolError, this.#complaint, pdu)
    }
    const hasStatus = (view.getUint8(at + 1) & STATUS_PRESENT) !== 0
    if (hasStatus && task) return this.#respond(pdu, task)
    const statSn = hasStatus ? view.getUint32(at + 24) : undefined
    this.upcalls.numbersNotify(statSn, view.getUint32(at + 28), view.getUint32(at + 32))
  }

  override damaged(pdu: ArrivedPdu): void {
    this.#task = undefined
    super.damaged(pdu)
  }

  /** Makes the SCSI Response the last Data-In of a task stands for. */
  #respond(dataIn: ArrivedPdu, task: InitiatorTask): void {
    const { view, at } = dataIn
    const response = this.#response.view
    const flags = FINAL | (view.getUint8(at + 1) & (OVERFLOW | UNDERFLOW))
    response.setUint32(0, (Opcode.scsiResponse << 24) | (flags << 16) | view.getUint8(at + 3))
    response.setUint32(16, task.initiatorTaskTag)
    response.setUint32(24, view.getUint32(at + 24))
    response.setUint32(28, view.getUint32(at + 28))
    response.setUint32(32, view.getUint32(at + 32))
    response.setUint32(36, serialAdd(view.getUint32(at + 36), 1))
    response.setUint32(44, view.getUint32(at + 44))
    this.#endWithResponse(this.#response, task)
  }

  #endWithResponse(pdu: ArrivedPdu, task: InitiatorTask): void {
    this.#endTask(task)
    this.#tellShortfall(pdu, task)
    this.upcalls.controlNotify(pdu)
  }

  /**
   * A read that ends well with less data than it should have had, and without saying so, is made to say so: memory
   * that nobody filled must not pass for data.
   */
  #tellShortfall(pdu: ArrivedPdu, task: InitiatorTask): void {
    const expected = task.dataIn?.length ?? 0
    if (task.receivedBytes >= expected || task.dataOut) return
    const { view, at } = pdu
    const flags = view.getUint8(at + 1)
    if (view.getUint16(at + 2) !== 0 || (flags & (OVERFLOW | UNDERFLOW)) !== 0) return
    view.setUint8(at + 1, flags | UNDERFLOW)
    view.setUint32(at + 44, expected - task.receivedBytes)
  }

  arrived(pdu: ArrivedPdu): void {
    const { view, at } = pdu
    const opcode = view.getUint8(at) & OPCODE_MASK
    if (pdu.ahsBytes > 0) return this.#complain("no PDU of a target has additional header segments", pdu)
    if (opcode === Opcode.readyToTransfer) return this.#requested(pdu)
    if (IS_RESPONSE[opcode] === 0) {
      return this.#complain(`opcode 0x${opcode.toString(16)} is none an initiator takes`, pdu)
    }
    const task = opcode === Opcode.scsiResponse ? this.#tasks.get(view.getUint32(at + 16)) : undefined
    if (task) this.#endWithResponse(pdu, task)
    else this.upcalls.controlNotify(pdu)
  }

  #complain(message: string, pdu: ArrivedPdu): void {
    this.upcalls.formatErrorNotify(RejectReason.protocolError, message, pdu)
  }

  /** An R2T: the data it asks for leaves at the end of the turn. */
  #requested(pdu: ArrivedPdu): void {
    const { view, at } = pdu
    const task = this.#tasks.get(view.getUint32(at + 16))
    if (task) {
      const offset = view.getUint32(at + 40)
      const bytes = view.getUint32(at + 44)
      const wrong =
        this.#dataOut.outstanding(task) >= this.keys.maxOutstandingR2T
          ? "the target has sent more R2Ts than MaxOutstandingR2T allows"
          : task.takeRequest(offset, bytes, view.getUint32(at + 36), this.keys.maxBurstLength)
      if (wrong !== undefined) return this.#complain(wrong, pdu)
      const lunHigh = view.getUint32(at + 8)
      const lunLow = view.getUint32(at + 12)
      this.#dataOut.answer(task, lunHigh, lunLow, view.getUint32(at + 20), offset, bytes)
    }
    this.upcalls.numbersNotify(undefined, view.getUint32(at + 28), view.getUint32(at + 32))
  }

  protected settle(): void {
    this.#tasks.clear()
    this.#dataOut.forgetAll()
  }

  protected refill(): void {
    this.#dataOut.send()
  }

  protected seal(): void {}
}
