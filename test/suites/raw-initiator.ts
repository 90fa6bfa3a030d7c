/**
 * An initiator that does just what a test tells it to, right or wrong: it sends any PDU built from the tables of
 * src/iscsi/pdu, and keeps what comes back decoded, over whatever wire it's given.
 */
import assert from "node:assert/strict"
import type { ByteStream } from "../../src/base/byte-stream.ts"
import { encodePdu, ISCSI_RESERVED_TAG } from "../../src/iscsi/pdu/index.ts"
import {
  DataOut,
  LoginRequest,
  LogoutRequest,
  NopOut,
  ScsiCommand,
  TaskManagementRequest,
  TextRequest,
} from "../../src/iscsi/pdu/index.ts"
import type { PduRecord, PduType, PduValues } from "../../src/iscsi/pdu/index.ts"
import { decodeSense, type Sense } from "../../src/scsi/spec/sense.ts"
import type { Fields } from "../../src/wire/layout.ts"
import { serialAdd } from "../../src/wire/serial.ts"
import { decodeText } from "../../src/wire/text.ts"
import type { RawWire } from "./raw-wire.ts"

/** A PDU that has come: its fields by name, and its data segment. */
export interface Arrived {
  readonly pdu: string
  readonly fields: PduRecord
  readonly data: Uint8Array
}

/** What goes along with a header. */
export interface Extras {
  readonly data?: Uint8Array | undefined
  readonly ahs?: Uint8Array | undefined
  /** Sends wrong digests. */
  readonly damage?: "header" | "data" | undefined
}

export interface CommandOptions extends Extras {
  /** Default 0. */
  readonly lun?: number
  readonly tag?: number
  /** Bytes the command is to send or to take; default: what `data` has. */
  readonly write?: number
  readonly read?: number
  /** F; default: true. */
  readonly final?: boolean
  readonly immediate?: boolean
  readonly cmdSn?: number
  readonly attribute?: number
}

export interface LoginOptions {
  /** "Key=value" pairs besides the names. */
  readonly keys?: readonly string[]
  readonly initiator?: string
  readonly target?: string | undefined
  readonly isid?: number
  readonly tsih?: number
  readonly cid?: number
  readonly cmdSn?: number
}

export const INITIATOR = "iqn.2026-01.org.example:initiator"
export const TARGET = "iqn.2026-01.org.example:disk0"
const ISID = 0x800001020304

/** The LUN field of a small logical unit number. */
export const lunField = (lun: number): Uint8Array => Uint8Array.of(lun >> 8, lun & 0xff, 0, 0, 0, 0, 0, 0)

export const encodeKeys = (keys: readonly string[]): Uint8Array =>
  new TextEncoder().encode(keys.map((key) => `${key}\0`).join(""))

/** "Key=value" pairs of a data segment. */
export const keysOf = (data: Uint8Array): string[] =>
  decodeText(data).map(({ key, value }) => `${key}=${value}`)

export class RawInitiator {
  /** Every PDU that has come. */
  readonly arrived: Arrived[] = []
  /** The target has said goodbye; the connection is gone. */
  ended = false
  closed = false
  cmdSn = 1
  nextTag = 0x100
  tsih = 0
  cid = 0
  isid = ISID
  /** What the next status must carry; undefined: nothing has come yet. */
  expStatSn: number | undefined
  readonly #wire: RawWire
  readonly #until: (what: string, done: () => boolean) => Promise<void>
  #taken = 0

  /** `until` lets (virtual) time pass until its condition holds. */
  constructor(wire: RawWire, until: (what: string, done: () => boolean) => Promise<void>) {
    this.#wire = wire
    this.#until = until
    wire.start({
      arrived: (fields, data, numbered) => {
        if (numbered) this.#checkStatSn(fields)
        this.arrived.push({ pdu: fields.pdu, fields, data })
      },
      ended: () => {
        this.ended = true
      },
      closed: () => {
        this.closed = true
      },
    })
  }

  /** What the wire runs over. */
  get stream(): ByteStream {
    return this.#wire.stream
  }

  get headerDigest(): boolean {
    return this.#wire.headerDigest
  }

  get dataDigest(): boolean {
    return this.#wire.dataDigest
  }

  // ------------------------------------------------------------------------------------------------ the wire

  /** Statuses are numbered without gaps; what carries none tells the next number, or nothing (RFC 7143 §4.2.2.2). */
  #checkStatSn(fields: PduRecord): void {
    if (fields.pdu === "SCSI Data-In" && fields["statusPresent"] !== true) return
    const statSn = fields["statSn"] as number
    this.expStatSn ??= statSn
    assert.equal(statSn, this.expStatSn, `StatSN of a ${fields.pdu}`)
    const unnumbered =
      fields.pdu === "Ready To Transfer (R2T)" ||
      (fields.pdu === "NOP-In" && fields["initiatorTaskTag"] === ISCSI_RESERVED_TAG)
    if (!unnumbered) this.expStatSn = serialAdd(statSn, 1)
  }

  /** Sends a PDU. Lengths are filled in; digests as they were negotiated. */
  send<F extends Fields>(type: PduType<F>, values: PduValues<F>, extras: Extras = {}): void {
    const { data = new Uint8Array(0), ahs = new Uint8Array(0), damage } = extras
    const header = Buffer.concat([encodePdu(type, values), ahs])
    header.writeUInt32BE(((ahs.length / 4) << 24) | data.length, 4)
    this.#wire.send(header, data, damage)
  }

  /** Over RDMA a target gets what it has asked for, also when nobody wants it any more. Over TCP nothing is sent. */
  yield(): void {
    const asked = this.arrived.splice(this.#taken)
    this.arrived.push(...asked.filter(({ pdu }) => !this.#wire.yields || pdu !== "Ready To Transfer (R2T)"))
    this.#wire.yield()
  }

  /** The next PDU, which must be of that kind when one is named. */
  async next(pdu?: string): Promise<Arrived> {
    await this.#until(`${pdu ?? "a PDU"} to come`, () => this.arrived.length > this.#taken || this.closed)
    const next = this.arrived[this.#taken]
    assert.ok(next, `the connection is closed; expected ${pdu ?? "a PDU"}`)
    this.#taken++
    if (pdu !== undefined) assert.equal(next.pdu, pdu, describe(next))
    return next
  }

  /** PDUs that have come and were not asked for. */
  get unread(): readonly Arrived[] {
    return this.arrived.slice(this.#taken)
  }

  /** Waits for the end of the connection. */
  async gone(): Promise<void> {
    await this.#until("the connection to end", () => this.closed)
  }

  // ------------------------------------------------------------------------------------------------ login

  /** A Login Request of the operational stage that wants to leave it, with the pairs given. */
  sendLogin(pairs: readonly string[], options: Partial<PduValues<typeof LoginRequest.fields>> = {}): void {
    this.send(
      LoginRequest,
      {
        immediate: true,
        transit: true,
        currentStage: 1,
        nextStage: 3,
        isid: this.isid,
        tsih: this.tsih,
        cid: this.cid,
        initiatorTaskTag: 7,
        cmdSn: this.cmdSn,
        expStatSn: this.expStatSn ?? 0,
        ...options,
      },
      { data: encodeKeys(pairs) },
    )
  }

  /** Sends the one Login Request of a simple login and gives the response. */
  async tryLogin(options: LoginOptions = {}): Promise<Arrived> {
    this.isid = options.isid ?? this.isid
    this.tsih = options.tsih ?? 0
    this.cid = options.cid ?? 0
    this.cmdSn = options.cmdSn ?? this.cmdSn
    const target = "target" in options ? options.target : TARGET
    const names = [`InitiatorName=${options.initiator ?? INITIATOR}`]
    if (target !== undefined) names.push(`TargetName=${target}`)
    this.sendLogin([...names, ...(options.keys ?? [])])
    return this.next("Login Response")
  }

  /** Logs in, which must succeed. Gives the target's pairs. */
  async login(options: LoginOptions = {}): Promise<string[]> {
    const { fields, data } = await this.tryLogin(options)
    assert.equal(statusOf(fields), 0, `login status 0x${statusOf(fields).toString(16)}`)
    assert.equal(fields["transit"], true)
    this.tsih = fields["tsih"] as number
    const pairs = keysOf(data)
    this.#wire.headerDigest = pairs.includes("HeaderDigest=CRC32C")
    this.#wire.dataDigest = pairs.includes("DataDigest=CRC32C")
    const firstBurst = pairs.find((pair) => pair.startsWith("FirstBurstLength="))
    if (firstBurst !== undefined) this.#wire.firstBurstLength = Number(firstBurst.split("=")[1])
    return pairs
  }

  /** Logs in for discovery. */
  discover(options: LoginOptions = {}): Promise<string[]> {
    const keys = ["SessionType=Discovery", ...(options.keys ?? [])]
    return this.login({ target: undefined, ...options, keys })
  }

  // ------------------------------------------------------------------------------------------------ requests

  /** Takes the next CmdSN, unless the request is immediate. */
  #number(immediate: boolean, cmdSn?: number): { immediate: boolean; cmdSn: number; expStatSn: number } {
    const number = cmdSn ?? this.cmdSn
    if (!immediate && cmdSn === undefined) this.cmdSn = serialAdd(this.cmdSn, 1)
    return { immediate, cmdSn: number, expStatSn: this.expStatSn ?? 0 }
  }

  /** Sends a SCSI Command; gives its Initiator Task Tag. */
  command(cdb: Uint8Array, options: CommandOptions = {}): number {
    const { lun = 0, tag = this.nextTag++, final = true, attribute = 1, data } = options
    const write = options.write ?? data?.length
    const short = new Uint8Array(16)
    short.set(cdb.subarray(0, 16))
    this.send(
      ScsiCommand,
      {
        ...this.#number(options.immediate ?? false, options.cmdSn),
        final,
        read: options.read !== undefined,
        write: write !== undefined,
        taskAttribute: attribute,
        lun: lunField(lun),
        initiatorTaskTag: tag,
        expectedDataTransferLength: write ?? options.read ?? 0,
        cdb: short,
      },
      options,
    )
    return tag
  }

  /** Sends one Data-Out; without a Target Transfer Tag it is unsolicited. */
  dataOut(tag: number, offset: number, dataSn: number, final: boolean, data: Uint8Array, ttt?: number): void {
    const targetTransferTag = ttt ?? ISCSI_RESERVED_TAG
    this.send(
      DataOut,
      { final, initiatorTaskTag: tag, targetTransferTag, dataSn, bufferOffset: offset },
      { data },
    )
  }

  /** Answers an R2T with one Data-Out out of `all`. */
  answer(r2t: Arrived, all: Uint8Array): void {
    const { initiatorTaskTag, bufferOffset, targetTransferTag, desiredDataTransferLength } = r2t.fields
    const start = bufferOffset as number
    const data = all.subarray(start, start + (desiredDataTransferLength as number))
    this.dataOut(initiatorTaskTag as number, start, 0, true, data, targetTransferTag as number)
  }

  /** Sends a Task Management Function Request; gives its Initiator Task Tag. */
  manage(
    wanted: number,
    options: {
      lun?: number
      referenced?: number
      refCmdSn?: number
      immediate?: boolean
      cmdSn?: number
      tag?: number
    } = {},
  ): number {
    const tag = options.tag ?? this.nextTag++
    this.send(TaskManagementRequest, {
      ...this.#number(options.immediate ?? true, options.cmdSn),
      final: true,
      function: wanted,
      lun: lunField(options.lun ?? 0),
      initiatorTaskTag: tag,
      referencedTaskTag: options.referenced ?? ISCSI_RESERVED_TAG,
      refCmdSn: options.refCmdSn ?? 0,
    })
    return tag
  }

  logout(reason = 0, options: { cid?: number; immediate?: boolean } = {}): number {
    const tag = this.nextTag++
    this.send(LogoutRequest, {
      ...this.#number(options.immediate ?? true),
      final: true,
      reasonCode: reason,
      initiatorTaskTag: tag,
      cid: options.cid ?? this.cid,
    })
    return tag
  }

  nop(options: { data?: Uint8Array; immediate?: boolean; tag?: number; ttt?: number } = {}): number {
    const tag = options.tag ?? this.nextTag++
    this.send(
      NopOut,
      {
        ...this.#number(options.immediate ?? false),
        final: true,
        initiatorTaskTag: tag,
        targetTransferTag: options.ttt ?? ISCSI_RESERVED_TAG,
      },
      { data: options.data },
    )
    return tag
  }

  text(
    data: Uint8Array | readonly string[],
    options: { final?: boolean; more?: boolean; tag?: number; ttt?: number; immediate?: boolean } = {},
  ): number {
    const tag = options.tag ?? this.nextTag++
    this.send(
      TextRequest,
      {
        ...this.#number(options.immediate ?? false),
        final: options.final ?? true,
        continue: options.more ?? false,
        initiatorTaskTag: tag,
        targetTransferTag: options.ttt ?? ISCSI_RESERVED_TAG,
      },
      { data: data instanceof Uint8Array ? data : encodeKeys(data) },
    )
    return tag
  }

  // ------------------------------------------------------------------------------------------------ whole commands

  /** Runs commands until one isn't answered with a unit attention. */
  async clearUnitAttentions(lun = 0): Promise<void> {
    for (;;) {
      this.command(new Uint8Array(6), { lun })
      const { fields } = await this.next("SCSI Response")
      if (fields["status"] === 0) return
    }
  }

  /** A command that reads: its data and its final status PDU. */
  async read(cdb: Uint8Array, bytes: number, options: CommandOptions = {}): Promise<Uint8Array> {
    const tag = this.command(cdb, { ...options, read: bytes })
    const data = new Uint8Array(bytes)
    for (;;) {
      const arrived = await this.next()
      const { fields } = arrived
      assert.equal(fields["initiatorTaskTag"], tag, describe(arrived))
      if (arrived.pdu === "SCSI Data-In") data.set(arrived.data, fields["bufferOffset"] as number)
      if (arrived.pdu === "SCSI Response" || fields["statusPresent"] === true) {
        assert.equal(fields["status"], 0, describe(arrived))
        return data
      }
    }
  }
}

/** Status-Class and Status-Detail of a Login Response. */
export const statusOf = (fields: PduRecord): number =>
  ((fields["statusClass"] as number) << 8) | (fields["statusDetail"] as number)

/** The sense data of a SCSI Response, which must have some. */
export function senseOf({ data }: Arrived): Sense {
  const bytes = new DataView(data.buffer, data.byteOffset).getUint16(0)
  assert.equal(bytes, data.length - 2, "SenseLength")
  const sense = decodeSense(data.subarray(2))
  assert.ok(sense)
  return sense
}

/** Key and additional sense code of a CHECK CONDITION: "b/0c0c". */
export function senseText(response: Arrived): string {
  assert.equal(response.fields["status"], 2, describe(response))
  const { key, asc } = senseOf(response)
  return `${key.toString(16)}/${asc.toString(16).padStart(4, "0")}`
}

export const describe = ({ fields, data }: Arrived): string =>
  JSON.stringify({ ...fields, data: Buffer.from(data.subarray(0, 64)).toString("hex") })
