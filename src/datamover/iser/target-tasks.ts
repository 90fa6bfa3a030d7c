import type { DataBuffer } from "../../base/buffers.ts"
import { ISER_TASKS_MAX } from "../../base/limits.ts"
import type { DatamoverKeys } from "../../iscsi/da.ts"
import { BHS_BYTES, Opcode } from "../../iscsi/pdu/index.ts"
import type { ArrivedPdu } from "../shared/arrived-pdu.ts"
import { OPCODE_MASK, uint32At } from "../shared/headers.ts"
import { LOGIN_KEYS } from "../shared/login-keys.ts"
import { READ_STAG_AT, RSV, WRITE_STAG_AT, WSV } from "./message.ts"
import type { RemoteMemory } from "./message.ts"
import { TargetTask } from "./target-task.ts"

const FINAL = 0x80

/**
 * The commands that came with STags, by Initiator Task Tag. The iSCSI layer may refuse a command, or ignore
 * it, without a word to us: what it never moved data for gives way to the next command of its tag.
 */
export class TargetTasks {
  readonly #tasks = new Map<number, TargetTask>()
  #keys: DatamoverKeys = LOGIN_KEYS

  setKeys(keys: DatamoverKeys): void {
    this.#keys = keys
  }

  get(initiatorTaskTag: number): TargetTask | undefined {
    return this.#tasks.get(initiatorTaskTag)
  }

  /** Forgets and returns it. */
  take(initiatorTaskTag: number): TargetTask | undefined {
    const task = this.#tasks.get(initiatorTaskTag)
    if (task !== undefined) this.#tasks.delete(initiatorTaskTag)
    return task
  }

  /** A SCSI Command with STags, whose message begins at `messageAt`. False: there are too many. */
  begin(pdu: ArrivedPdu, flags: number, messageAt: number): boolean {
    const { view, at } = pdu
    const tag = view.getUint32(at + 16)
    // The tag of a task that is under way: that will be refused, and must do no harm.
    if (this.#tasks.get(tag)?.used === true) return true
    const read = (flags & RSV) !== 0 ? remoteMemory(view, messageAt + READ_STAG_AT) : undefined
    const write = (flags & WSV) !== 0 ? remoteMemory(view, messageAt + WRITE_STAG_AT) : undefined
    const writeFrom = write === undefined ? 0 : this.#writeFrom(pdu)
    this.#tasks.set(tag, new TargetTask(tag, view.getUint32(at + 24), read, write, writeFrom))
    return this.#tasks.size <= ISER_TASKS_MAX
  }

  /**
   * Which byte of the data stands at the Write STag's base. RFC 7145 §6.9 has it be the first, unless the
   * initiator declares TaggedBufferForSolicitedDataOnly=Yes; but all running code declares nothing and means
   * Yes: the base stands behind the unsolicited data. Only who says No means No.
   */
  #writeFrom({ view, at, dataBytes }: ArrivedPdu): number {
    if (this.#keys.taggedBufferForSolicitedDataOnly === false) return 0
    const final = (view.getUint8(at + 1) & FINAL) !== 0
    // What follows unasked makes up the first burst (RFC 7143 §13.14).
    return final ? dataBytes : Math.min(this.#keys.firstBurstLength, view.getUint32(at + 20))
  }

  /** A Reject leaves, with the header of what is refused: a command of it is none. */
  refused(data: Uint8Array | DataBuffer | undefined): void {
    const header = data instanceof Uint8Array ? data : data?.bytes
    if (header === undefined || header.length < BHS_BYTES) return
    if ((header[0]! & OPCODE_MASK) !== Opcode.scsiCommand) return
    const tag = uint32At(header, 16)
    const task = this.#tasks.get(tag)
    if (task !== undefined && !task.used && task.cmdSn === uint32At(header, 24)) this.#tasks.delete(tag)
  }

  endAll(): void {
    for (const task of this.#tasks.values()) task.ended = true
    this.#tasks.clear()
  }
}

const remoteMemory = (view: DataView, at: number): RemoteMemory => ({
  rkey: view.getUint32(at),
  addressHigh: view.getUint32(at + 4),
  addressLow: view.getUint32(at + 8),
})
