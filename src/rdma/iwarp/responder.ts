import { Access } from "../verbs/index.ts"
import type { SoftwareRegion } from "../verbs/software/memory.ts"
import type { Run } from "../verbs/software/scatter.ts"
import { Answers } from "./answers.ts"
import type { IwarpConnection } from "./connection.ts"
import type { InboxUser } from "./inbox.ts"
import { IncomingSends, isSend } from "./incoming-sends.ts"
import type { Memory } from "./memory-pool.ts"
import { PLACING, RemoteMemory } from "./remote-memory.ts"
import { decodeTerminate, Terminate } from "./terminate.ts"
import type { TerminateCode } from "./terminate.ts"
import {
  CONTROL_LAST,
  CONTROL_OPCODE,
  QueueNumber,
  RdmapOpcode,
  READ_REQUEST_BYTES,
  TAGGED,
  TAGGED_BYTES,
  UNTAGGED_BYTES,
} from "./wire.ts"

const DDP_VERSION = 0x0300
const DDP_VERSION_1 = 0x0100
const RDMAP_VERSION = 0x00c0
const RDMAP_VERSION_1 = 0x0040
const NOTHING = new Uint8Array(0)

const hasOurVersions = (control: number): boolean =>
  (control & (DDP_VERSION | RDMAP_VERSION)) === (DDP_VERSION_1 | RDMAP_VERSION_1)

/**
 * The half of a connection that does what the peer asks: it takes segments as they come (RFC 5041 §5, RFC 5040 §5).
 * Everything is checked before a byte moves, with every segment anew.
 */
export class Responder implements InboxUser {
  readonly answers: Answers
  readonly #connection: IwarpConnection
  readonly #sends: IncomingSends
  readonly #memory: RemoteMemory
  #readSequence = 1
  /** What is being received straight to where it belongs: memory of which region, how much of it, part of what. */
  #sinkRegion: SoftwareRegion | undefined
  #sinkBytes = 0
  #sinkOf: "write" | "answer" | "send" = "write"

  constructor(connection: IwarpConnection) {
    this.#connection = connection
    this.answers = new Answers(connection)
    this.#sends = new IncomingSends(connection)
    this.#memory = new RemoteMemory(connection.qp)
  }

  arrived(memory: Memory, at: number, ulpduBytes: number): boolean {
    const control = memory.view.getUint16(at)
    if (this.#checkVersions(control, memory, at, ulpduBytes)) this.#take(control, memory, at, ulpduBytes)
    return this.#maybeStraight(control)
  }

  #take(control: number, memory: Memory, at: number, ulpduBytes: number): void {
    if ((control & TAGGED) !== 0) return this.#tagged(control, memory, at, ulpduBytes)
    if (ulpduBytes < UNTAGGED_BYTES) return this.broken("length", memory, at, ulpduBytes)
    const code = this.#untagged(control, memory, at, ulpduBytes)
    if (code !== undefined) this.#violate(code, memory, at, ulpduBytes)
    else this.#connection.heard(ulpduBytes)
  }

  broken(why: "crc" | "length", memory: Memory, at: number, ulpduBytes: number): void {
    if (why === "crc") this.#connection.lost("a CRC of the peer's is wrong", Terminate.mpaCrc)
    else this.#violate(Terminate.mpaLength, memory, at, ulpduBytes)
  }

  #checkVersions(control: number, memory: Memory, at: number, ulpduBytes: number): boolean {
    if ((control & DDP_VERSION) !== DDP_VERSION_1) {
      const code = (control & TAGGED) !== 0 ? Terminate.taggedVersion : Terminate.untaggedVersion
      this.#violate(code, memory, at, ulpduBytes)
    } else if ((control & RDMAP_VERSION) !== RDMAP_VERSION_1)
      this.#violate(Terminate.rdmapVersion, memory, at, ulpduBytes)
    else return true
    return false
  }

  #violate(code: TerminateCode, memory: Memory, at: number, ulpduBytes: number): void {
    // Of the segment only the headers go back, and they are here.
    const end = Math.min(at + ulpduBytes, at + UNTAGGED_BYTES + READ_REQUEST_BYTES)
    this.#connection.violated(code, memory.bytes.subarray(at, end), ulpduBytes)
  }

  // ------------------------------------------------------------------------------------------ tagged segments

  #tagged(control: number, memory: Memory, at: number, ulpduBytes: number): void {
    const count = ulpduBytes - TAGGED_BYTES
    const code = this.#taggedObjection(control, memory.view, at, count)
    if (code !== undefined) return this.#violate(code, memory, at, ulpduBytes)
    this.#connection.heard(ulpduBytes)
    const from = at + TAGGED_BYTES
    const bytes = memory.bytes.subarray(from, from + count)
    if ((control & CONTROL_OPCODE) === RdmapOpcode.readResponse) this.#connection.requester.answer(bytes)
    else if (count > 0) this.#memory.region!.bytes.set(bytes, this.#memory.at)
  }

  /** Why the segment may not be placed; undefined: it may, a write's in the memory that was found. */
  #taggedObjection(control: number, view: DataView, at: number, count: number): TerminateCode | undefined {
    const opcode = control & CONTROL_OPCODE
    const stag = view.getUint32(at + 2)
    const high = view.getUint32(at + 6)
    const low = view.getUint32(at + 10)
    if (opcode === RdmapOpcode.readResponse)
      return this.#connection.requester.objection(stag, high, low, count, (control & CONTROL_LAST) !== 0)
    if (opcode !== RdmapOpcode.write) return Terminate.unexpectedOpcode
    // A segment of no bytes needs no STag (RFC 5041 §5.2).
    return count === 0 ? undefined : this.#memory.find(stag, high, low, count, Access.RemoteWrite, PLACING)
  }

  // ------------------------------------------------------------------------------------------ received straight

  /**
   * With CRC a Send and the answer to a read of ours: which one is due, and where, we know without its header, and until it is
   * complete nobody looks at that memory. A Write whose header is damaged could reach any other (RFC 5044 §4.4).
   */
  #maybeStraight(control: number): boolean {
    const opcode = control & CONTROL_OPCODE
    if ((control & TAGGED) === 0) return isSend(opcode)
    return !this.#connection.crc || opcode === RdmapOpcode.readResponse
  }

  begins(memory: Memory, at: number, ulpduBytes: number): Uint8Array | undefined {
    const control = memory.view.getUint16(at)
    if (!this.#maybeStraight(control)) return undefined
    if ((control & TAGGED) === 0) return this.#sendBegins(control, memory.view, at, ulpduBytes)
    const count = ulpduBytes - TAGGED_BYTES
    const { crc, requester } = this.#connection
    // What a wrong CRC may be to blame for is looked at when all of it is here.
    if (crc && !this.#isDue(control, memory.view, at, count)) return undefined
    if (!crc && !this.#mayBegin(control, memory, at, ulpduBytes)) return undefined
    if ((control & CONTROL_OPCODE) === RdmapOpcode.readResponse)
      return this.#lend("answer", requester.readSink(count))
    const { region, at: from } = this.#memory
    return this.#lend("write", { region: region!, bytes: region!.bytes.subarray(from, from + count) })
  }

  #sendBegins(control: number, view: DataView, at: number, ulpduBytes: number): Uint8Array | undefined {
    if (!hasOurVersions(control) || view.getUint32(at + 6) !== QueueNumber.send) return undefined
    return this.#lend("send", this.#sends.begin(control, view, at, ulpduBytes - UNTAGGED_BYTES))
  }

  #isDue(control: number, view: DataView, at: number, count: number): boolean {
    return hasOurVersions(control) && this.#taggedObjection(control, view, at, count) === undefined
  }

  #mayBegin(control: number, memory: Memory, at: number, ulpduBytes: number): boolean {
    if (!this.#checkVersions(control, memory, at, ulpduBytes)) return false
    const code = this.#taggedObjection(control, memory.view, at, ulpduBytes - TAGGED_BYTES)
    if (code !== undefined) this.#violate(code, memory, at, ulpduBytes)
    else this.#connection.heard(ulpduBytes)
    return code === undefined
  }

  #lend(part: "write" | "answer" | "send", run: Run | undefined): Uint8Array | undefined {
    if (run === undefined) return undefined
    this.#sinkOf = part
    this.#sinkRegion = run.region
    this.#sinkBytes = run.bytes.length
    run.region.lentTo(this.#connection)
    return run.bytes
  }

  foreseen(runs: Uint8Array[]): boolean {
    if (this.#sinkOf === "write") return false
    if (this.#sinkOf === "send") return this.#sends.foreseen(runs)
    const rest = this.#connection.requester.sinkBehind(this.#sinkBytes)
    if (rest !== undefined) runs.push(rest)
    return true
  }

  placed(): void {
    const bytes = this.#sinkBytes
    this.dropSink()
    if (this.#sinkOf === "write") return
    if (this.#sinkOf === "answer") {
      this.#connection.heard(TAGGED_BYTES + bytes)
      return this.#connection.requester.answered(bytes)
    }
    const code = this.#sends.ended()
    if (code !== undefined) this.#connection.violated(code, NOTHING, UNTAGGED_BYTES + bytes)
    else this.#connection.heard(UNTAGGED_BYTES + bytes)
  }

  /** Nothing is received straight into memory any more. */
  dropSink(): void {
    this.#sinkRegion?.returned(this.#connection)
    this.#sinkRegion = undefined
  }

  /** The region has been taken out of use: what is being received into it, if anything. */
  sinkIn(region: SoftwareRegion): "write" | "answer" | "send" | undefined {
    return this.#sinkRegion === region ? this.#sinkOf : undefined
  }

  // ------------------------------------------------------------------------------------------ untagged segments

  #untagged(control: number, memory: Memory, at: number, ulpduBytes: number): TerminateCode | undefined {
    const { view } = memory
    const opcode = control & CONTROL_OPCODE
    const queue = view.getUint32(at + 6)
    const from = at + UNTAGGED_BYTES
    const count = ulpduBytes - UNTAGGED_BYTES
    if (queue === QueueNumber.send) return this.#sends.take(control, memory, at, count)
    if (queue === QueueNumber.readRequest) {
      if (opcode !== RdmapOpcode.readRequest) return Terminate.unexpectedOpcode
      if (view.getUint32(at + 10) !== this.#readSequence) return Terminate.messageSequence
      if (view.getUint32(at + 14) !== 0 || (control & CONTROL_LAST) === 0) return Terminate.messageOffset
      const code = this.answers.take(view, from, count)
      if (code === undefined) this.#readSequence = (this.#readSequence + 1) >>> 0
      return code
    }
    if (queue !== QueueNumber.terminate) return Terminate.badQueueNumber
    if (opcode !== RdmapOpcode.terminate) return Terminate.unexpectedOpcode
    this.#connection.terminated(decodeTerminate(memory.bytes.subarray(from, from + count)))
    return undefined
  }
}
