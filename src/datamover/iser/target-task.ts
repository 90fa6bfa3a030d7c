import { TaskAbortedError } from "../../iscsi/da.ts"
import type { RemoteMemory } from "./message.ts"
import type { ReadOwner } from "./send-ring.ts"

/** The initiator's memory for a task: where its data goes to and comes from (RFC 7145 §7.3.1). */
export class TargetTask {
  readonly initiatorTaskTag: number
  readonly cmdSn: number
  /** The memory the command reads into. */
  readonly read: RemoteMemory | undefined
  /** The memory the command writes from, and which byte of the command's data stands at its beginning. */
  readonly write: RemoteMemory | undefined
  readonly writeFrom: number
  /** Data has been moved for it: it is a task, and no command that was refused. */
  used = false
  /** RDMA Reads of it that are under way. */
  readsUnderWay = 0
  ended = false

  constructor(
    initiatorTaskTag: number,
    cmdSn: number,
    read: RemoteMemory | undefined,
    write: RemoteMemory | undefined,
    writeFrom: number,
  ) {
    this.initiatorTaskTag = initiatorTaskTag
    this.cmdSn = cmdSn
    this.read = read
    this.write = write
    this.writeFrom = writeFrom
  }

  /**
   * What a Send with Invalidate names: there is room for one STag (§7.3.2: the Read STag, if there are both).
   */
  get rkey(): number {
    return this.read !== undefined ? this.read.rkey : this.write !== undefined ? this.write.rkey : 0
  }
}

/** One getData: its RDMA Reads, and who waits for them. */
export class Transfer implements ReadOwner {
  readonly task: TargetTask
  /** Bytes of it not asked for yet begin here, in the command's data. */
  nextOffset: number
  readonly endOffset: number
  readonly #user: TransferUser
  readonly #resolve: () => void
  readonly #reject: (error: Error) => void
  #underWay = 0
  #failed = false
  #settled = false

  constructor(
    user: TransferUser,
    task: TargetTask,
    bufferOffset: number,
    bytes: number,
    resolve: () => void,
    reject: (error: Error) => void,
  ) {
    this.#user = user
    this.task = task
    this.nextOffset = bufferOffset
    this.endOffset = bufferOffset + bytes
    this.#resolve = resolve
    this.#reject = reject
  }

  /** An RDMA Read of `bytes` from nextOffset on is about to start. */
  started(bytes: number): void {
    this.nextOffset += bytes
    this.#underWay++
    this.task.readsUnderWay++
  }

  readEnded(_bytes: number, ok: boolean): void {
    this.#underWay--
    this.task.readsUnderWay--
    if (!ok) this.#failed = true
    this.#settle()
    this.#user.transferReadEnded(this.task)
  }

  /** No more of it is asked for. It rejects once nothing is on its way to its memory any more. */
  abort(): void {
    this.#failed = true
    this.nextOffset = this.endOffset
    this.#settle()
  }

  #settle(): void {
    if (this.#settled || this.#underWay > 0 || this.nextOffset < this.endOffset) return
    this.#settled = true
    if (this.#failed || this.task.ended) this.#reject(new TaskAbortedError())
    else this.#resolve()
  }
}

export interface TransferUser {
  transferReadEnded(task: TargetTask): void
}
