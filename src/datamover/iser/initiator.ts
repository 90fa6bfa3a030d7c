import type { DataBuffer } from "../../base/buffers.ts"
import type { Endpoint } from "../../base/byte-stream.ts"
import type { Clock } from "../../base/clock.ts"
import {
  COMMANDS_IN_FLIGHT_MAX,
  ISER_UNEXPECTED_PDUS,
  LOGIN_DATA_SEGMENT_BYTES_MAX,
} from "../../base/limits.ts"
import type { CommandBuffers, DatamoverKeys, InitiatorDatamover } from "../../iscsi/da.ts"
import { ISCSI_RESERVED_TAG, Opcode, RejectReason } from "../../iscsi/pdu/index.ts"
import { Access } from "../../rdma/verbs/index.ts"
import type { MemoryRegion } from "../../rdma/verbs/index.ts"
import { serialAdd, serialAfter } from "../../wire/serial.ts"
import type { ArrivedPdu } from "../shared/arrived-pdu.ts"
import { IS_RESPONSE, OPCODE_MASK, uint32At } from "../shared/headers.ts"
import type { Channel } from "./channel.ts"
import { DISCOVERY_RECEIVES, IserConnection } from "./connection.ts"
import { LentData } from "./lent-data.ts"
import { badMessage, RSV, WSV } from "./message.ts"
import type { ReceiveSlot } from "./receive-ring.ts"
import { Regions } from "./regions.ts"

/**
 * Immediate requests a target has room for when it doesn't say how many: isert and tgt have some beside their
 * window.
 */
const FIELD_UNEXPECTED_PDUS = 8
const IMMEDIATE = 0x40
/** From so many bytes on, registering data for its command costs less than copying it. */
const LENT_BYTES_MIN = 16 * 1024
const TRANSIT_TO_FULL_FEATURE = 0x83
/** The last answer of the login, and what may follow it. */
const RECEIVES_AT_LOGIN = 8

/** The memory lent to the target for one command. */
interface Loan {
  /** The target reads it. */
  readonly write: MemoryRegion | undefined
  /** The target writes it. */
  readonly read: MemoryRegion | undefined
  /** It is sent to the target. */
  readonly sent: LentData | undefined
}

/**
 * The initiator's end of an iSCSI connection over iSER: the target puts and gets data straight in the
 * commands' buffers.
 */
export class IserInitiatorDatamover extends IserConnection implements InitiatorDatamover {
  readonly #regions: Regions
  readonly #loans = new Map<number, Loan>()
  /** Of the last request that isn't immediate. */
  #lastCmdSn: number | undefined

  constructor(channel: Channel, clock: Clock, ends: { readonly local: Endpoint; readonly remote: Endpoint }) {
    super(channel, clock, ends)
    this.#regions = new Regions(channel.registered.pd)
  }

  /**
   * An answer to each command and each request beside them, and what the target sends on its own (RFC 7145
   * §8.1.2).
   */
  protected receivesNeeded(): number {
    if (this.keys.rdmaExtensions === false) return DISCOVERY_RECEIVES
    return COMMANDS_IN_FLIGHT_MAX + 2 * ISER_UNEXPECTED_PDUS
  }

  // ------------------------------------------------------------------------------------------ the iSCSI layer's calls

  sendCommand(header: Uint8Array, buffers: CommandBuffers, immediateData?: Uint8Array): void {
    if (this.channel.over) return
    const { dataOut, dataIn, unsolicitedBytes } = buffers
    let write: MemoryRegion | undefined
    let read: MemoryRegion | undefined
    let sent: LentData | undefined
    try {
      if (immediateData !== undefined && isWorthLending(immediateData))
        sent = new LentData(this.#regions, immediateData)
      // The base stands behind the unsolicited data, and that can't be reached: the way of all running code,
      // and of RFC 7145 with TaggedBufferForSolicitedDataOnly=Yes.
      if (dataOut !== undefined && unsolicitedBytes < dataOut.length) {
        const solicited = unsolicitedBytes === 0 ? dataOut : dataOut.subarray(unsolicitedBytes)
        write = this.#regions.take(solicited, Access.RemoteRead)
      }
      if (dataIn !== undefined && dataIn.length > 0)
        read = this.#regions.take(dataIn, Access.LocalWrite | Access.RemoteWrite)
    } catch (error) {
      if (write !== undefined) this.#regions.give(write)
      if (sent !== undefined) this.#regions.give(sent.region)
      return this.channel.fail(error as Error)
    }
    this.#lastCmdSn = uint32At(header, 24)
    if (write !== undefined || read !== undefined || sent !== undefined)
      this.#loans.set(uint32At(header, 16), { write, read, sent })
    this.leave(
      sent === undefined
        ? this.put(header, immediateData, write, read)
        : this.putLent(header, sent, write, read),
    )
  }

  protected sendPdu(header: Uint8Array, data?: Uint8Array | DataBuffer): void {
    if (!this.fullFeature && (header[1]! & TRANSIT_TO_FULL_FEATURE) === TRANSIT_TO_FULL_FEATURE) {
      // The target may send as soon as it has answered: there is room for that before it is asked.
      if ((header[0]! & OPCODE_MASK) === Opcode.loginRequest) this.#postSome()
    }
    const first = header[0]!
    const immediate = (first & IMMEDIATE) !== 0
    if (!immediate && first !== Opcode.dataOut) this.#lastCmdSn = uint32At(header, 24)
    // The answer to a target's ping has the place that ping's answer was promised.
    const pong = first === (Opcode.nopOut | IMMEDIATE) && uint32At(header, 20) !== ISCSI_RESERVED_TAG
    if (!immediate || pong || !this.fullFeature) return this.#sendNow(header, data)
    this.sendUnexpected(header, data, uint32At(header, 16), this.#numberOf, this.#sendNow)
  }

  readonly #sendNow = (header: Uint8Array, data: Uint8Array | DataBuffer | undefined): void =>
    this.leave(this.put(header, data))

  /**
   * The CmdSN of the next request that is sent behind this one in its turn: once that is taken, so is this.
   */
  readonly #numberOf = (header: Uint8Array): number => {
    const cmdSn = uint32At(header, 24)
    const next = this.#lastCmdSn === undefined ? cmdSn : serialAdd(this.#lastCmdSn, 1)
    return serialAfter(next, cmdSn) ? next : cmdSn
  }

  override noticeKeyValues(keys: DatamoverKeys): void {
    super.noticeKeyValues(keys)
    const declared = keys.peerMaxOutstandingUnexpectedPdus
    this.unexpected.limit =
      declared === undefined ? FIELD_UNEXPECTED_PDUS : declared === 0 ? Infinity : declared
  }

  /**
   * For what the target may send unasked right behind the final Login Response. The others, one for each
   * command, come with the first command: then it is known how long PDUs are.
   */
  #postSome(): void {
    try {
      this.channel.receives.grow(RECEIVES_AT_LOGIN, LOGIN_DATA_SEGMENT_BYTES_MAX)
      this.channel.receives.post()
    } catch (error) {
      this.channel.fail(error as Error)
    }
  }

  deallocateTaskResources(initiatorTaskTag: number): void {
    const loan = this.#loans.get(initiatorTaskTag)
    if (loan !== undefined) this.#endLoan(initiatorTaskTag, loan)
  }

  #endLoan(tag: number, { write, read, sent }: Loan): void {
    this.#loans.delete(tag)
    sent?.commandEnded()
    if (write !== undefined) this.#regions.give(write)
    if (read !== undefined) this.#regions.give(read)
  }

  // ------------------------------------------------------------------------------------------ what arrives

  protected arrived(pdu: ArrivedPdu, flags: number, _messageAt: number, invalidatedRkey: number): void {
    const { view, at } = pdu
    const opcode = view.getUint8(at) & OPCODE_MASK
    if ((flags & (WSV | RSV)) !== 0) throw badMessage("an STag, and is a target")
    const isResponse = opcode === Opcode.scsiResponse
    if (!isResponse && this.unexpected.any) this.unexpected.answered(view.getUint32(at + 16))
    const tag = isResponse ? view.getUint32(at + 16) : 0
    const loan = isResponse ? this.#loans.get(tag) : undefined
    if (invalidatedRkey !== 0) this.#checkInvalidated(loan, invalidatedRkey)
    if (pdu.ahsBytes > 0) return this.#complain("no PDU of a target has additional header segments", pdu)
    if (IS_RESPONSE[opcode] === 0)
      return this.#complain(`opcode 0x${opcode.toString(16)} is none an initiator takes over iSER`, pdu)
    // Whatever the target has left of it, before anybody hears that the command is over (RFC 7145 §8.3.2).
    if (loan !== undefined) this.#endLoan(tag, loan)
    this.upcalls.controlNotify(pdu)
  }

  /**
   * The target may take out of use the Read STag of the command it answers, or else its Write STag, and
   * nothing else.
   */
  #checkInvalidated(loan: Loan | undefined, rkey: number): void {
    const due = loan?.read ?? loan?.write
    if (due?.rkey !== rkey) throw badMessage("a Send with Invalidate for an STag that isn't its command's")
  }

  #complain(message: string, pdu: ArrivedPdu): void {
    this.upcalls.formatErrorNotify(RejectReason.protocolError, message, pdu)
  }

  protected otherArrived(slot: ReceiveSlot): void {
    throw badMessage(`a message of type 0x${slot.view.getUint8(slot.at).toString(16).padStart(2, "0")}`)
  }

  // ------------------------------------------------------------------------------------------ the end

  protected settle(): void {
    // A connection that closes in good order has no commands; of one that doesn't, nobody may reach the
    // memory.
    for (const [tag, loan] of this.#loans) this.#endLoan(tag, loan)
    this.#regions.close()
  }

  refill(): void {
    // What it sends is sent at once.
  }

  /** The target disconnects, once it has sent its answer; it has its time for that. */
  protected closeQuietly(): void {}
}

/** Whether data is sent from where it lies: its padding would have to lie behind it. */
const isWorthLending = ({ length }: Uint8Array): boolean => length >= LENT_BYTES_MIN && (length & 3) === 0
