import type { DataBuffer } from "../../base/buffers.ts"
import type { Endpoint } from "../../base/byte-stream.ts"
import type { Clock, Timer } from "../../base/clock.ts"
import { CLOSE_DEADLINE_MS, ISER_UNEXPECTED_PDUS } from "../../base/limits.ts"
import { DatamoverError } from "../../iscsi/da.ts"
import type { Datamover, DatamoverKeys, DatamoverUpcalls, RunningNumbers } from "../../iscsi/da.ts"
import { BHS_BYTES, ISCSI_RESERVED_TAG, Opcode } from "../../iscsi/pdu/index.ts"
import { SendOpcode } from "../../rdma/verbs/index.ts"
import { ArrivedPdu } from "../shared/arrived-pdu.ts"
import { LOGIN_KEYS } from "../shared/login-keys.ts"
import type { Channel, ChannelUser } from "./channel.ts"
import {
  badMessage,
  ISER_HEADER_BYTES,
  MessageType,
  messageType,
  writeControlHeader,
  WSV,
} from "./message.ts"
import type { RemoteMemory } from "./message.ts"
import type { ReceiveSlot } from "./receive-ring.ts"
import type { LentData } from "./lent-data.ts"
import type { Work } from "./send-ring.ts"
import { UnexpectedPdus } from "./unexpected.ts"

/** Receives of a discovery session: its requests come one at a time. */
export const DISCOVERY_RECEIVES = 16

/**
 * What both roles share of an iSCSI connection over iSER (RFC 7145): control-type PDUs as Sends, the receives
 * they come in, the beginning and the end. Login PDUs pass the same way, as in all running code: RDMA is
 * there before the login.
 */
export abstract class IserConnection implements Datamover, ChannelUser {
  readonly transport = "iser"
  readonly local: Endpoint
  readonly remote: Endpoint
  protected readonly channel: Channel
  protected upcalls!: DatamoverUpcalls
  protected numbers!: RunningNumbers
  protected keys = LOGIN_KEYS
  protected fullFeature = false
  protected readonly unexpected = new UnexpectedPdus()
  readonly #clock: Clock
  readonly #pdu: ArrivedPdu
  #started = false
  #closeTimer: Timer | undefined

  constructor(channel: Channel, clock: Clock, ends: { readonly local: Endpoint; readonly remote: Endpoint }) {
    this.channel = channel
    this.#clock = clock
    this.local = ends.local
    this.remote = ends.remote
    this.#pdu = new ArrivedPdu(NOWHERE)
  }

  get activity(): number {
    return this.channel.activity
  }

  // ------------------------------------------------------------------------------------------ for subclasses

  /**
   * A control-type PDU, checked for its lengths; `flags`: the first byte of the message, which begins at
   * `messageAt`.
   */
  protected abstract arrived(pdu: ArrivedPdu, flags: number, messageAt: number, invalidatedRkey: number): void
  /** A message that is no control-type PDU. Throws DatamoverError for what may not come. */
  protected abstract otherArrived(slot: ReceiveSlot, bytes: number, first: boolean): void
  /** Messages the peer may have under way to us, in full feature phase. */
  protected abstract receivesNeeded(): number
  abstract deallocateTaskResources(initiatorTaskTag: number): void
  /** Ends everything that waits for the peer. May be called more than once. */
  protected abstract settle(): void
  abstract refill(): void
  protected abstract sendPdu(header: Uint8Array, data?: Uint8Array | DataBuffer): void
  /** All that was to be sent before the close has been. */
  protected abstract closeQuietly(): void

  // ------------------------------------------------------------------------------------------ what arrives

  #messages = 0

  messageReceived(slot: ReceiveSlot, bytes: number, invalidatedRkey: number): void {
    const { view, at } = slot
    const first = this.#messages++ === 0
    if (bytes < ISER_HEADER_BYTES) throw badMessage(`a message of ${bytes} bytes, less than its header`)
    const flags = view.getUint8(at)
    if (messageType(flags) !== MessageType.control) return this.otherArrived(slot, bytes, first)
    const pduBytes = bytes - ISER_HEADER_BYTES
    if (pduBytes < BHS_BYTES) throw badMessage(`a PDU of ${pduBytes} bytes, less than its header`)
    const pdu = this.#pdu
    pdu.moveTo(slot, at + ISER_HEADER_BYTES)
    const lengths = view.getUint32(pdu.at + 4)
    pdu.ahsAt = pdu.at + BHS_BYTES
    pdu.ahsBytes = (lengths >>> 24) * 4
    pdu.dataAt = pdu.ahsAt + pdu.ahsBytes
    pdu.dataBytes = lengths & 0xffffff
    if (pduBytes === BHS_BYTES + pdu.ahsBytes && (flags & WSV) !== 0) forgetMissingData(pdu, view)
    // The padding may be missing: whoever gets the length of a message needs none, and some send none.
    const wholeBytes = BHS_BYTES + pdu.ahsBytes + pdu.dataBytes
    if (pduBytes < wholeBytes || pduBytes > ((wholeBytes + 3) & ~3))
      throw badMessage(`a PDU of ${wholeBytes} bytes in a message with room for ${pduBytes}`)
    if (pdu.dataBytes > this.keys.maxRecvDataSegmentLength) {
      const declared = `${pdu.dataBytes} bytes, at most ${this.keys.maxRecvDataSegmentLength} were declared`
      throw new DatamoverError("ERR_PDU_TOO_LONG", `a PDU came with a data segment of ${declared}`)
    }
    // ExpStatSN of an initiator's PDUs, ExpCmdSN of a target's.
    if (this.unexpected.any) this.unexpected.acknowledged(view.getUint32(pdu.at + 28))
    this.arrived(pdu, flags, at, invalidatedRkey)
  }

  // ------------------------------------------------------------------------------------------ the iSCSI layer's calls

  start(upcalls: DatamoverUpcalls, numbers: RunningNumbers): void {
    this.upcalls = upcalls
    this.numbers = numbers
    this.#started = true
    this.channel.start(this, this.#clock)
  }

  allocateConnectionResources(): void {
    if (this.channel.over) throw new DatamoverError("ERR_CONNECTION_LOST", "the connection is gone")
    this.#grow()
  }

  #grow(): void {
    this.channel.receives.grow(this.receivesNeeded(), this.keys.maxRecvDataSegmentLength)
  }

  deallocateConnectionResources(): void {
    // The login has failed, and the connection with it: what it has goes when that ends.
  }

  noticeKeyValues(keys: DatamoverKeys): void {
    this.keys = keys
  }

  enableDatamover(finalLoginResponse?: { header: Uint8Array; data?: Uint8Array }): void {
    this.fullFeature = true
    if (this.channel.over) return
    try {
      this.#grow()
      // All of them, before the peer learns that it may use them.
      this.channel.receives.post()
    } catch (error) {
      return this.channel.fail(error as Error)
    }
    if (finalLoginResponse) this.sendControl(finalLoginResponse.header, finalLoginResponse.data)
  }

  sendControl(header: Uint8Array, data?: Uint8Array | DataBuffer): void {
    if (this.channel.over) {
      if (data !== undefined && !(data instanceof Uint8Array)) data.release()
      return
    }
    this.sendPdu(header, data)
  }

  connectionClose(): void {
    if (this.channel.over) return this.channel.end()
    this.refill()
    this.channel.post()
    this.channel.endWhenSent(() => this.closeQuietly())
    this.settle()
    this.#closeTimer = this.#clock.after(CLOSE_DEADLINE_MS, "iser: the peer's goodbye", () =>
      this.channel.end(),
    )
  }

  connectionTerminate(): void {
    this.channel.end()
    this.settle()
    if (!this.#started) this.channel.abandon()
  }

  pause(): void {
    this.channel.pause()
  }

  resume(): void {
    this.channel.resume()
  }

  channelGone(error: Error | undefined): void {
    this.#closeTimer?.cancel()
    this.unexpected.clear()
    this.settle()
    if (error !== undefined) this.upcalls.connectionTerminateNotify(error)
  }

  // ------------------------------------------------------------------------------------------ sending

  /**
   * Sends a PDU nobody asked for, by `send`, or holds it back until the peer has room for it. `tag` names it
   * in its answer, if it gets one; `number` as for UnexpectedPdus.
   */
  protected sendUnexpected(
    header: Uint8Array,
    data: Uint8Array | DataBuffer | undefined,
    tag: number,
    number: (header: Uint8Array) => number,
    send: (header: Uint8Array, data: Uint8Array | DataBuffer | undefined) => void,
  ): void {
    const { unexpected } = this
    const answered = tag !== ISCSI_RESERVED_TAG
    if (unexpected.hasRoom(answered)) {
      unexpected.sent(tag, number(header))
      return send(header, data)
    }
    if (unexpected.heldCount >= ISER_UNEXPECTED_PDUS) {
      if (data !== undefined && !(data instanceof Uint8Array)) data.release()
      return this.channel.fail(new DatamoverError("ERR_CONNECTION_LOST", "the peer takes no PDUs any more"))
    }
    const kept = header.slice()
    const keptData = data === undefined || data instanceof Uint8Array ? data?.slice() : data.bytes.slice()
    if (data !== undefined && !(data instanceof Uint8Array)) data.release()
    unexpected.hold(answered, () => {
      unexpected.sent(tag, number(kept))
      send(kept, keptData)
    })
  }

  /**
   * A control-type PDU as one message, copied side by side into registered memory. It leaves when `leave` is
   * called with its request.
   */
  protected put(
    header: Uint8Array,
    data?: Uint8Array | DataBuffer,
    write?: RemoteMemory,
    read?: RemoteMemory,
  ): Work {
    if (data === undefined) return this.#put(header, 0, 0, write, read)
    const bytes = data instanceof Uint8Array ? data : data.bytes
    const padding = -bytes.length & 3
    const work = this.#put(header, bytes.length, bytes.length + padding, write, read)
    const memory = this.channel.registered.current
    const dataAt = work.sgl[0]!.offset + ISER_HEADER_BYTES + header.length
    memory.bytes.set(bytes, dataAt)
    memory.bytes.fill(0, dataAt + bytes.length, dataAt + bytes.length + padding)
    if (!(data instanceof Uint8Array)) data.release()
    return work
  }

  /** The same with data that is sent from where it lies, a multiple of four bytes; `data` is released with the request. */
  protected putLent(header: Uint8Array, data: LentData, write?: RemoteMemory, read?: RemoteMemory): Work {
    const { registered, sends } = this.channel
    const work = this.#put(header, data.length, 0, write, read)
    sends.append(work, data.region, 0, data.length)
    data.head = registered.current
    work.lent = data
    return work
  }

  /** A message of iSER's own. */
  protected putMessage(message: Uint8Array): void {
    const { registered, sends } = this.channel
    const at = registered.arena.take(message.length)
    const memory = registered.current
    memory.bytes.set(message, at)
    this.leave(sends.add(SendOpcode.send, memory.region, at, message.length, memory))
  }

  protected leave(work: Work): void {
    this.channel.leave(work.bytes)
  }

  /** The headers, and room for so many bytes behind them. */
  #put(
    header: Uint8Array,
    dataBytes: number,
    roomBytes: number,
    write: RemoteMemory | undefined,
    read: RemoteMemory | undefined,
  ): Work {
    const { registered, sends } = this.channel
    const pduAt = ISER_HEADER_BYTES
    const bytes = pduAt + header.length + roomBytes
    const at = registered.arena.take(bytes)
    const memory = registered.current
    const { view } = memory
    writeControlHeader(view, at, write, read)
    memory.bytes.set(header, at + pduAt)
    // TotalAHSLength is in words of four bytes.
    view.setUint32(at + pduAt + 4, ((header.length - BHS_BYTES) << 22) | dataBytes)
    return sends.add(SendOpcode.send, memory.region, at, bytes, memory)
  }
}

/** Where no PDU has come yet. */
const NOWHERE = {
  bytes: new Uint8Array(0),
  view: new DataView(new ArrayBuffer(0)),
  hold() {},
  release() {},
}

/**
 * libiscsi before 1.20 tells of immediate data, and leaves it out of the message: its Write STag covers all
 * of the data, so the command is taken for one without any.
 */
function forgetMissingData(pdu: ArrivedPdu, view: DataView): void {
  if ((view.getUint8(pdu.at) & 0x3f) !== Opcode.scsiCommand) return
  pdu.dataBytes = 0
  view.setUint32(pdu.at + 4, (pdu.ahsBytes / 4) << 24)
}
