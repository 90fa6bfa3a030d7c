/**
 * Reads what an iSER connection over iWARP says on the wire, for tests to judge: MPA frames (RFC 5044), DDP segments
 * (RFC 5041), RDMAP messages (RFC 5040), the iSER header (RFC 7145 9.2) and the PDU's opcode. Shares no code with the
 * stack under test.
 */
import type { TcpConversation } from "./capture.ts"

/** An MPA Request or Reply. */
export interface MpaFrame {
  readonly key: string
  readonly markers: boolean
  readonly crc: boolean
  readonly reject: boolean
  readonly revision: number
  readonly privateData: Uint8Array
}

export type RdmapKind = "Write" | "Read Request" | "Read Response" | "Send" | "Terminate"

/** One RDMAP message. */
export interface RdmapMessage {
  readonly from: "initiator" | "target"
  readonly kind: RdmapKind
  /** Of payload; of a Read Request: the bytes it asks for. */
  readonly bytes: number
  /** Where a Write or Read Response goes, or from where a Read Request takes. */
  readonly stag: number
  readonly offset: bigint
  /** The STag a Send invalidates. */
  readonly invalidates: number | undefined
  /** What a Send carries. */
  readonly pdu: IserPdu | undefined
}

/** A control-type PDU with the iSER header before it. */
export interface IserPdu {
  readonly writeStag: number | undefined
  readonly readStag: number | undefined
  readonly opcode: number
  /** Basic header segment. */
  readonly header: Buffer
  readonly dataSegmentBytes: number
}

export interface IserConversation {
  readonly name: string
  readonly request: MpaFrame
  readonly reply: MpaFrame
  readonly messages: readonly RdmapMessage[]
  /** FPDUs per direction, and the longest ULPDU of each. */
  readonly fpdus: Readonly<
    Record<"initiator" | "target", { readonly count: number; readonly bytesMax: number }>
  >
}

const KINDS: readonly (readonly [RdmapKind, invalidates: boolean])[] = [
  ["Write", false],
  ["Read Request", false],
  ["Read Response", false],
  ["Send", false],
  ["Send", true],
  ["Send", false],
  ["Send", true],
  ["Terminate", false],
]
const MPA_HEADER_BYTES = 20
const TAGGED_BYTES = 14
const UNTAGGED_BYTES = 18
const ISER_HEADER_BYTES = 28
const CONTROL_TYPE = 1

/** Whether a conversation begins with an MPA Request. */
export function isIwarp({ pieces }: TcpConversation): boolean {
  return Buffer.from(pieces[0]?.bytes ?? []).toString("latin1", 0, 16) === "MPA ID Req Frame"
}

function mpaFrame(bytes: Buffer): MpaFrame {
  const flags = bytes.readUInt8(16)
  return {
    key: bytes.toString("latin1", 0, 16),
    markers: (flags & 0x80) !== 0,
    crc: (flags & 0x40) !== 0,
    reject: (flags & 0x20) !== 0,
    revision: bytes.readUInt8(17),
    privateData: bytes.subarray(MPA_HEADER_BYTES, MPA_HEADER_BYTES + bytes.readUInt16BE(18)),
  }
}

/** A control-type PDU; undefined for a Send that is none, as a zero-length RTR. Throws for a malformed one. */
function iserPdu(bytes: Buffer): IserPdu | undefined {
  if (bytes.length === 0) return undefined
  const first = bytes.readUInt8(0)
  if (first >> 4 !== CONTROL_TYPE || bytes.length < ISER_HEADER_BYTES + 48) {
    throw new Error(`no iSER control-type message: ${bytes.toString("hex", 0, 32)}`)
  }
  const header = bytes.subarray(ISER_HEADER_BYTES, ISER_HEADER_BYTES + 48)
  return {
    writeStag: first & 8 ? bytes.readUInt32BE(4) : undefined,
    readStag: first & 4 ? bytes.readUInt32BE(16) : undefined,
    opcode: header.readUInt8(0) & 0x3f,
    header,
    dataSegmentBytes: header.readUIntBE(5, 3),
  }
}

/** One direction of a connection behind the MPA frames: cuts it in FPDUs and gathers the messages. */
class Direction {
  count = 0
  bytesMax = 0
  readonly #from: "initiator" | "target"
  readonly #messages: RdmapMessage[]
  #rest = Buffer.alloc(0)
  readonly #untagged: Buffer[] = []
  readonly #tagged = new Map<RdmapKind, { bytes: number; stag: number; offset: bigint }>()

  constructor(from: "initiator" | "target", messages: RdmapMessage[]) {
    this.#from = from
    this.#messages = messages
  }

  add(bytes: Uint8Array): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    let at = 0
    while (this.#rest.length - at >= 2) {
      const length = this.#rest.readUInt16BE(at)
      const whole = ((2 + length + 3) & ~3) + 4
      if (this.#rest.length - at < whole) break
      this.#segment(this.#rest.subarray(at + 2, at + 2 + length))
      at += whole
    }
    this.#rest = this.#rest.subarray(at)
  }

  #segment(ulpdu: Buffer): void {
    this.count++
    this.bytesMax = Math.max(this.bytesMax, ulpdu.length)
    const control = ulpdu.readUInt8(0)
    const [kind, invalidates] = KINDS[ulpdu.readUInt8(1) & 15] ?? []
    if ((control & 3) !== 1 || kind === undefined)
      throw new Error(`no DDP segment: ${ulpdu.toString("hex", 0, 18)}`)
    const last = (control & 0x40) !== 0
    if (control & 0x80) this.#taggedSegment(kind, ulpdu, last)
    else this.#untaggedSegment(kind, ulpdu, last, invalidates ? ulpdu.readUInt32BE(2) : undefined)
  }

  #taggedSegment(kind: RdmapKind, ulpdu: Buffer, last: boolean): void {
    const begun = this.#tagged.get(kind) ?? {
      bytes: 0,
      stag: ulpdu.readUInt32BE(2),
      offset: ulpdu.readBigUInt64BE(6),
    }
    begun.bytes += ulpdu.length - TAGGED_BYTES
    this.#tagged.set(kind, begun)
    if (!last) return
    this.#tagged.delete(kind)
    this.#messages.push({ from: this.#from, kind, ...begun, invalidates: undefined, pdu: undefined })
  }

  #untaggedSegment(kind: RdmapKind, ulpdu: Buffer, last: boolean, invalidates: number | undefined): void {
    const payload = ulpdu.subarray(UNTAGGED_BYTES)
    if (kind === "Read Request") {
      const [bytes, stag, offset] = [
        payload.readUInt32BE(12),
        payload.readUInt32BE(16),
        payload.readBigUInt64BE(20),
      ]
      this.#messages.push({ from: this.#from, kind, bytes, stag, offset, invalidates, pdu: undefined })
      return
    }
    this.#untagged.push(payload)
    if (!last) return
    const whole = Buffer.concat(this.#untagged.splice(0))
    const pdu = kind === "Send" ? iserPdu(whole) : undefined
    this.#messages.push({
      from: this.#from,
      kind,
      bytes: whole.length,
      stag: 0,
      offset: 0n,
      invalidates,
      pdu,
    })
  }
}

/** Reads an iWARP conversation that carries iSER. Throws for what is malformed. */
export function readIser({ name, pieces }: TcpConversation): IserConversation {
  const messages: RdmapMessage[] = []
  const directions = {
    client: new Direction("initiator", messages),
    server: new Direction("target", messages),
  }
  const frames: Partial<Record<"client" | "server", MpaFrame>> = {}
  const begun = { client: Buffer.alloc(0), server: Buffer.alloc(0) }
  for (const { from, bytes } of pieces) {
    if (frames[from]) {
      directions[from].add(bytes)
      continue
    }
    const have = (begun[from] = Buffer.concat([begun[from], bytes]))
    const length = have.length < MPA_HEADER_BYTES ? Infinity : MPA_HEADER_BYTES + have.readUInt16BE(18)
    if (have.length < length) continue
    frames[from] = mpaFrame(have)
    directions[from].add(have.subarray(length))
  }
  if (!frames.client || !frames.server) throw new Error(`${name}: no MPA Request and Reply`)
  const fpdus = { initiator: directions.client, target: directions.server }
  return { name, request: frames.client, reply: frames.server, messages, fpdus }
}

/** What became of one SCSI command, as the wire shows it. */
export interface CommandOnWire {
  readonly cdb: Buffer
  readonly read: boolean
  readonly write: boolean
  readonly expectedBytes: number
  readonly stags: readonly number[]
  /** Data sent along with the command and in unsolicited Data-Out PDUs. */
  unsolicitedBytes: number
  /** RDMA Writes to its read STag. */
  writtenBytes: number
  /** RDMA Reads from its write STag. */
  fetchedBytes: number
  /** Its response's: undefined until there is one. */
  status: number | undefined
  /** Negative: the target moved less than expected. */
  residualBytes: number
  /** The STag the response invalidated. */
  invalidated: number | undefined
}

const SCSI_COMMAND = 0x01
const DATA_OUT = 0x05
const SCSI_RESPONSE = 0x21

/** Every SCSI command with the data that moved for it; what moved for none counts in `strayBytes`. */
export function followCommands({ messages }: IserConversation): {
  commands: CommandOnWire[]
  strayBytes: number
} {
  const commands: CommandOnWire[] = []
  const byTask = new Map<number, CommandOnWire>()
  const byStag = new Map<number, CommandOnWire>()
  let strayBytes = 0
  for (const { kind, from, stag, bytes, pdu, invalidates } of messages) {
    const task = pdu?.header.readUInt32BE(16) ?? -1
    const command = byTask.get(task)
    if (kind === "Write" || kind === "Read Request") {
      const owner = byStag.get(stag)
      if (!owner || from !== "target") strayBytes += bytes
      else if (kind === "Write") owner.writtenBytes += bytes
      else owner.fetchedBytes += bytes
    } else if (pdu?.opcode === SCSI_COMMAND) {
      const begun = commandOnWire(pdu)
      commands.push(begun)
      byTask.set(task, begun)
      for (const own of begun.stags) byStag.set(own, begun)
    } else if (pdu?.opcode === DATA_OUT && command) {
      command.unsolicitedBytes += pdu.dataSegmentBytes
    } else if (pdu?.opcode === SCSI_RESPONSE && command) {
      const flags = pdu.header.readUInt8(1)
      const count = pdu.header.readUInt32BE(44)
      command.status = pdu.header.readUInt8(3)
      command.residualBytes = flags & 2 ? -count : flags & 4 ? count : 0
      command.invalidated = invalidates
      byTask.delete(task)
      for (const own of command.stags) byStag.delete(own)
    }
  }
  return { commands, strayBytes }
}

function commandOnWire({ header, readStag, writeStag, dataSegmentBytes }: IserPdu): CommandOnWire {
  const flags = header.readUInt8(1)
  return {
    cdb: header.subarray(32, 48),
    read: (flags & 0x40) !== 0,
    write: (flags & 0x20) !== 0,
    expectedBytes: header.readUInt32BE(20),
    stags: [readStag, writeStag].filter((stag) => stag !== undefined),
    unsolicitedBytes: dataSegmentBytes,
    writtenBytes: 0,
    fetchedBytes: 0,
    status: undefined,
    residualBytes: 0,
    invalidated: undefined,
  }
}
