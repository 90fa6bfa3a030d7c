import type { DataBuffer } from "../../base/buffers.ts"
import type { Endpoint } from "../../base/byte-stream.ts"
import type { Clock } from "../../base/clock.ts"
import type { Eventually } from "../../base/completion.ts"
import { ISER_UNEXPECTED_PDUS } from "../../base/limits.ts"
import { commandWindow, DatamoverError, TaskAbortedError, unsolicitedPdusMax } from "../../iscsi/da.ts"
import type { DatamoverKeys, TargetDatamover } from "../../iscsi/da.ts"
import { ISCSI_RESERVED_TAG, Opcode, RejectReason } from "../../iscsi/pdu/index.ts"
import { addressHighAt, addressLowAt, SendOpcode } from "../../rdma/verbs/index.ts"
import type { ArrivedPdu } from "../shared/arrived-pdu.ts"
import type { DataBufferBudget } from "../shared/budget.ts"
import { IS_REQUEST, OPCODE_MASK, uint32At } from "../shared/headers.ts"
import { TaskMemory } from "../shared/task-memory.ts"
import { TransferBuffer } from "../shared/transfer-buffer.ts"
import type { Channel } from "./channel.ts"
import { DISCOVERY_RECEIVES, IserConnection } from "./connection.ts"
import { Fetcher } from "./fetcher.ts"
import { answerHello, badMessage, MessageType, messageType, RSV, WSV } from "./message.ts"
import { fitData } from "./fit-data.ts"
import type { ReceiveSlot } from "./receive-ring.ts"
import { RegisteredMemory } from "./registered-memory.ts"
import type { Work } from "./send-ring.ts"
import { TargetTasks } from "./target-tasks.ts"
import type { TargetTask } from "./target-task.ts"

/**
 * PDUs nobody asked for that an initiator has room for when it doesn't say how many: ib_iser has four
 * receives for them.
 */
const FIELD_UNEXPECTED_PDUS = 3

/** The opcodes of such PDUs; a NOP-In and a Reject are some only without a task (RFC 7145 §8.1.2). */
const UNASKED = new Uint8Array(64)
for (const opcode of [Opcode.asyncMessage, Opcode.reject, Opcode.nopIn]) UNASKED[opcode] = 1

const statSnOf = (header: Uint8Array): number => uint32At(header, 24)

const WRITE_FLAG = 0x20
const READ_FLAG = 0x40

/** The target's end of an iSCSI connection over iSER: Put_Data is RDMA Write, Get_Data is RDMA Read. */
export class IserTargetDatamover extends IserConnection implements TargetDatamover {
  readonly #memory: TaskMemory
  readonly #tasks = new TargetTasks()
  readonly #fetcher: Fetcher
  /** SCSI Responses take the STags of their task out of use: the initiator takes Send with Invalidate. */
  invalidates = false

  readonly iserSegmentBytesMax: number

  /** `segmentBytes`: the largest data segment its first receive has room for. */
  constructor(
    channel: Channel,
    segmentBytes: number,
    clock: Clock,
    budget: DataBufferBudget,
    ends: { readonly local: Endpoint; readonly remote: Endpoint },
  ) {
    super(channel, clock, ends)
    this.iserSegmentBytesMax = segmentBytes
    this.#memory = new TaskMemory(budget, channel.sends, channel.registered)
    // Data stands by itself: neither header nor padding is sent with it.
    this.#memory.frontBytes = 0
    this.#fetcher = new Fetcher(channel)
  }

  override noticeKeyValues(keys: DatamoverKeys): void {
    super.noticeKeyValues(keys)
    this.#fetcher.burstBytesMax = Math.max(1, keys.maxBurstLength)
    this.#tasks.setKeys(keys)
    const declared = keys.peerMaxOutstandingUnexpectedPdus
    this.unexpected.limit =
      declared === undefined ? FIELD_UNEXPECTED_PDUS : declared === 0 ? Infinity : declared
  }

  /**
   * As many as the command window lets come, each with its unsolicited data (RFC 7145 §8.1.1), and some that
   * no window governs. A discovery session, which is no RDMA session by its keys, has a question at a time.
   */
  protected receivesNeeded(): number {
    if (this.keys.rdmaExtensions === false) return DISCOVERY_RECEIVES
    return commandWindow(this.keys) * (1 + unsolicitedPdusMax(this.keys)) + ISER_UNEXPECTED_PDUS
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
    _final: boolean,
  ): void {
    if (this.channel.over) return buffer.release()
    const task = this.#tasks.get(initiatorTaskTag)
    const to = task?.read
    if (task === undefined || to === undefined) {
      buffer.release()
      return this.channel.fail(noMemory("read into"))
    }
    task.used = true
    const work = this.#write(buffer, bytes)
    work.rkey = to.rkey
    work.remoteHigh = addressHighAt(to.addressHigh, to.addressLow, bufferOffset)
    work.remoteLow = addressLowAt(to.addressLow, bufferOffset)
    work.task = task
    this.leave(work)
  }

  /** An RDMA Write from the buffer; one that isn't ours is copied to where it's registered. */
  #write(buffer: DataBuffer, bytes: number): Work {
    const { sends, registered } = this.channel
    if (buffer instanceof TransferBuffer && buffer.memory instanceof RegisteredMemory) {
      this.#memory.queued(buffer)
      return sends.add(SendOpcode.rdmaWrite, buffer.memory.region, buffer.at, bytes, buffer)
    }
    const at = registered.arena.take(bytes)
    const memory = registered.current
    memory.bytes.set(buffer.bytes.subarray(0, bytes), at)
    buffer.release()
    return sends.add(SendOpcode.rdmaWrite, memory.region, at, bytes, memory)
  }

  getData(
    initiatorTaskTag: number,
    _lunHigh: number,
    _lunLow: number,
    bufferOffset: number,
    into: Uint8Array,
  ): Promise<void> {
    if (this.channel.over) return Promise.reject(new TaskAbortedError("the connection has ended"))
    if (into.length === 0) return Promise.resolve()
    const task = this.#tasks.get(initiatorTaskTag)
    const readsMax = this.channel.connection?.initiatorDepth ?? 0
    const wrong =
      task?.write === undefined || bufferOffset < task.writeFrom
        ? noMemory("write from")
        : readsMax === 0
          ? new DatamoverError(
              "ERR_ISER_RESOURCES",
              "the initiator serves no RDMA Reads, and has data to write",
            )
          : undefined
    if (task === undefined || wrong !== undefined) {
      this.channel.fail(wrong ?? noMemory("write from"))
      return Promise.reject(new TaskAbortedError("the connection has ended"))
    }
    task.used = true
    return this.#fetch(task, bufferOffset, into)
  }

  #fetch(task: TargetTask, bufferOffset: number, into: Uint8Array): Promise<void> {
    const { registered } = this.channel
    const memory = registered.holding(into)
    if (memory) {
      const at = into.byteOffset - memory.bytes.byteOffset
      return this.#fetcher.fetch(task, bufferOffset, memory, at, into.length)
    }
    const at = registered.arena.take(into.length)
    const aside = registered.current
    const copy = () => into.set(aside.bytes.subarray(at, at + into.length))
    return this.#fetcher
      .fetch(task, bufferOffset, aside, at, into.length)
      .then(copy)
      .finally(() => aside.release())
  }

  protected sendPdu(header: Uint8Array, data?: Uint8Array | DataBuffer): void {
    const opcode = header[0]! & OPCODE_MASK
    const task = opcode === Opcode.scsiResponse ? this.#tasks.take(uint32At(header, 16)) : undefined
    if (opcode === Opcode.reject) this.#tasks.refused(data)
    if (!this.fullFeature) return this.leave(this.put(header, data))
    const fitting = fitData(opcode, data, this.keys.maxSendDataSegmentLength)
    const unasked = UNASKED[opcode] === 1 && uint32At(header, 16) === ISCSI_RESERVED_TAG
    if (!unasked) return this.#send(header, fitting, task)
    const tag = opcode === Opcode.nopIn ? uint32At(header, 20) : ISCSI_RESERVED_TAG
    this.sendUnexpected(header, fitting, tag, statSnOf, this.#sendNow)
  }

  readonly #sendNow = (header: Uint8Array, data: Uint8Array | DataBuffer | undefined): void =>
    this.#send(header, data, undefined)

  #send(header: Uint8Array, data: Uint8Array | DataBuffer | undefined, task: TargetTask | undefined): void {
    if (task !== undefined) this.#end(task)
    const work = this.put(header, data)
    // What a task that has ended still reads is read before anybody hears of its end (RFC 7145 §7.3.3).
    work.fence = this.#fetcher.lateReads > 0 && tellsOfEnds(header, data !== undefined)
    if (task !== undefined && this.invalidates && task.rkey !== 0) {
      work.opcode = SendOpcode.sendWithInvalidate
      work.invalidateRkey = task.rkey
    }
    this.leave(work)
  }

  deallocateTaskResources(initiatorTaskTag: number): void {
    if (this.channel.over) return
    const task = this.#tasks.take(initiatorTaskTag)
    this.#memory.abort(initiatorTaskTag)
    if (task === undefined) return
    this.#end(task)
    if (task.used) this.channel.sends.cancel((work) => work.task === task)
  }

  #end(task: TargetTask): void {
    task.ended = true
    if (task.write !== undefined && task.used) this.#fetcher.abort(task)
  }

  // ------------------------------------------------------------------------------------------ what arrives

  protected arrived(pdu: ArrivedPdu, flags: number, messageAt: number): void {
    const { view, at } = pdu
    const opcode = view.getUint8(at) & OPCODE_MASK
    if ((flags & (WSV | RSV)) !== 0) this.#stagsArrived(pdu, opcode, flags, messageAt)
    if (IS_REQUEST[opcode] === 0) {
      const message = `opcode 0x${opcode.toString(16)} is none a target takes`
      return this.upcalls.formatErrorNotify(RejectReason.commandNotSupported, message, pdu)
    }
    if (pdu.ahsBytes > 0 && opcode !== Opcode.scsiCommand) {
      const message = "additional header segments belong to SCSI Commands alone"
      return this.upcalls.formatErrorNotify(RejectReason.protocolError, message, pdu)
    }
    if (opcode === Opcode.nopOut && this.unexpected.any) this.unexpected.answered(view.getUint32(at + 20))
    // What is solicited comes by RDMA Read (RFC 7145 §7.3.6).
    if (opcode === Opcode.dataOut && view.getUint32(at + 20) !== ISCSI_RESERVED_TAG) {
      return this.upcalls.formatErrorNotify(RejectReason.protocolError, "a solicited Data-Out over iSER", pdu)
    }
    this.upcalls.controlNotify(pdu)
  }

  /** STags come with the commands whose data they stand for, and with nothing else (RFC 7145 §9.2). */
  #stagsArrived(pdu: ArrivedPdu, opcode: number, flags: number, messageAt: number): void {
    // TASK REASSIGN brings new ones, and is refused (ErrorRecoveryLevel 2).
    if (opcode === Opcode.taskManagementRequest) return
    const command = pdu.view.getUint8(pdu.at + 1)
    const stray =
      opcode !== Opcode.scsiCommand ||
      ((flags & WSV) !== 0 && (command & WRITE_FLAG) === 0) ||
      ((flags & RSV) !== 0 && (command & READ_FLAG) === 0)
    if (stray) throw badMessage("an STag with a PDU that moves no such data")
    if (!this.#tasks.begin(pdu, flags, messageAt))
      throw badMessage("more commands than there may be outstanding")
  }

  /** A Hello may open the connection, though nobody requires it any more (RFC 7145 §5.1.3). */
  protected otherArrived(slot: ReceiveSlot, bytes: number, first: boolean): void {
    const type = slot.view.getUint8(slot.at)
    if (messageType(type) !== MessageType.hello || !first)
      throw badMessage(`a message of type 0x${type.toString(16).padStart(2, "0")}`)
    const readsMax = this.channel.connection?.initiatorDepth ?? 0
    const { reply, accepted } = answerHello(slot.view, slot.at, bytes, readsMax)
    this.putMessage(reply)
    if (!accepted) this.channel.failWhenSent(badMessage("a Hello for another version of iSER"))
  }

  // ------------------------------------------------------------------------------------------ the end

  protected settle(): void {
    this.#tasks.endAll()
    this.#fetcher.abortAll()
    this.#memory.abortAll()
  }

  refill(): void {
    this.#memory.serve()
    this.#fetcher.start()
  }

  /** After a Logout Response it is the target that disconnects. */
  protected closeQuietly(): void {
    this.channel.end()
  }
}

/**
 * Whether it may be what an initiator learns the end of tasks from: then what is read must have been, before
 * the initiator uses their memory again. A task's own GOOD comes when all its data has; sense data may tell
 * of tasks others have cleared.
 */
function tellsOfEnds(header: Uint8Array, hasData: boolean): boolean {
  switch (header[0]! & OPCODE_MASK) {
    case Opcode.nopIn:
    case Opcode.textResponse:
    case Opcode.reject:
      return false
    case Opcode.scsiResponse:
      return hasData || header[3] !== 0
    default:
      return true
  }
}

const noMemory = (what: string): DatamoverError =>
  new DatamoverError("ERR_ISER_MESSAGE", `the initiator has lent no memory to ${what}`)
