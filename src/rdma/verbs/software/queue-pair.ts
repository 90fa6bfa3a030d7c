import { VerbsError } from "../errors.ts"
import type { QueuePair, QueuePairOptions, QueuePairState } from "../queue-pair.ts"
import { WorkStatus } from "../status.ts"
import { CompletionOpcode, SendOpcode } from "../work.ts"
import type { ReceiveRequest, SendRequest } from "../work.ts"
import { SoftwareCompletionQueue } from "./completion-queue.ts"
import type { SoftwareDevice } from "./device.ts"
import { SoftwareProtectionDomain } from "./memory.ts"
import type { RegionTable } from "./memory.ts"
import { gather } from "./scatter.ts"
import { SendPlace } from "./send-place.ts"
import { SoftwareSharedReceiveQueue } from "./srq.ts"
import { checkCount, checkEntries, WorkPlace, WorkQueue } from "./work-queue.ts"

const OPCODES: ReadonlySet<number> = new Set(Object.values(SendOpcode))

/** A queue pair of a device made of software: it holds the work, which the provider does. */
export abstract class SoftwareQueuePair implements QueuePair {
  readonly number: number
  readonly pd: SoftwareProtectionDomain
  readonly sendCq: SoftwareCompletionQueue
  readonly receiveCq: SoftwareCompletionQueue
  readonly inlineBytes: number
  readonly sends: WorkQueue<SendPlace>
  /** Of a shared queue's requests: those that messages of ours have taken. */
  readonly receives: WorkQueue<WorkPlace>
  readonly srq: SoftwareSharedReceiveQueue | undefined
  state: QueuePairState = "INIT"
  /** It belongs to a connection, or an attempt at one; there is no second. */
  claimed = false
  /** Ends the attempt to connect that has claimed it. */
  abandon: (() => void) | undefined
  readonly #device: SoftwareDevice
  readonly #sendEntriesMax: number
  readonly #receiveEntriesMax: number

  constructor(device: SoftwareDevice, number: number, options: QueuePairOptions) {
    const { limits } = device
    const { pd, sendCq, receiveCq, srq } = options
    if (!(pd instanceof SoftwareProtectionDomain) || pd.device !== device || pd.gone)
      throw new VerbsError("request", "the protection domain is not one of this device")
    if (!(sendCq instanceof SoftwareCompletionQueue && receiveCq instanceof SoftwareCompletionQueue))
      throw new VerbsError("request", "the completion queues are not of this device")
    if (srq !== undefined && !(srq instanceof SoftwareSharedReceiveQueue && srq.pd === pd && !srq.gone))
      throw new VerbsError("request", "the shared receive queue is not one of the protection domain")
    const sendDepth = checkCount("a send queue", options.sendQueueDepth, limits.workRequestsMax)
    const receiveDepth = checkCount("a receive queue", options.receiveQueueDepth, limits.workRequestsMax)
    this.#device = device
    this.number = number
    this.pd = pd
    this.sendCq = sendCq
    this.receiveCq = receiveCq
    this.inlineBytes = checkCount("inline data", options.inlineBytes ?? 0, limits.inlineBytesMax, 0)
    this.#sendEntriesMax = checkEntries(limits, options.sendEntriesMax)
    this.#receiveEntriesMax = checkEntries(limits, options.receiveEntriesMax)
    this.sends = new WorkQueue(sendDepth, () => new SendPlace())
    this.receives = new WorkQueue(receiveDepth, () => new WorkPlace())
    sendCq.reserve(sendDepth)
    try {
      receiveCq.reserve(receiveDepth)
    } catch (error) {
      sendCq.unreserve(sendDepth)
      throw error
    }
    this.srq = srq
    if (srq !== undefined) srq.users++
    pd.users++
  }

  get sendQueueDepth(): number {
    return this.sends.depth
  }

  get receiveQueueDepth(): number {
    return this.receives.depth
  }

  get table(): RegionTable {
    return this.pd.table
  }

  postSend(request: SendRequest, more = false): void {
    if (this.state !== "RTS" && this.state !== "ERROR")
      throw new VerbsError("state", `nothing can be sent in state ${this.state}`)
    if (!OPCODES.has(request.opcode))
      throw new VerbsError("request", `there is no send request with opcode ${request.opcode}`)
    const place = this.sends.next()
    place.fill(request.wrId, request.sgl, this.#sendEntriesMax, this.#device.limits.messageBytesMax)
    place.take(request)
    if (request.inline) this.#inline(place)
    this.sends.posted++
    if (this.state === "ERROR") this.flushSends()
    else this.work(more)
  }

  postRecv(request: ReceiveRequest): void {
    if (this.state === "RESET") throw new VerbsError("state", "the queue pair was destroyed")
    if (this.srq !== undefined)
      throw new VerbsError("request", "receives of this queue pair are posted to its shared queue")
    const place = this.receives.next()
    place.fill(request.wrId, request.sgl, this.#receiveEntriesMax, Number.MAX_SAFE_INTEGER)
    this.receives.posted++
    if (this.state === "ERROR") this.flushReceives()
  }

  /** Whether there are receives for so many messages that begin: of a shared queue they are taken. */
  hasReceive(messages = 1): boolean {
    const { receives, srq } = this
    while (receives.posted - receives.completed < messages)
      if (srq === undefined || !srq.moveTo(receives)) return false
    return true
  }

  /** Ends the oldest send request that hasn't ended. */
  completeSend(status: WorkStatus): void {
    const sequence = this.sends.completed++
    const place = this.sends.at(sequence)
    if (status === WorkStatus.success && !place.signaled) return
    const completion = this.sendCq.push(this.sends, sequence, status, false)
    completion.wrId = place.wrId
    completion.opcode = place.completionOpcode
    completion.qpNumber = this.number
    if (place.isRead) completion.byteLength = place.length
  }

  /** Ends the oldest receive. */
  completeReceive(status: WorkStatus, byteLength = 0, invalidatedRkey = 0, solicited = false): void {
    const sequence = this.receives.completed++
    const completion = this.receiveCq.push(this.receives, sequence, status, solicited)
    completion.wrId = this.receives.at(sequence).wrId
    completion.opcode = CompletionOpcode.receive
    completion.qpNumber = this.number
    completion.byteLength = byteLength
    completion.invalidatedRkey = invalidatedRkey
  }

  /** Every request not complete is flushed, and those to come will be (IB spec §10.3.1). */
  enterError(): void {
    if (this.state === "ERROR" || this.state === "RESET") return
    this.state = "ERROR"
    this.flush()
  }

  destroy(): void {
    if (this.state === "RESET") return
    this.leave()
    this.abandon?.()
    this.state = "RESET"
    this.sendCq.drop(this.sends)
    this.receiveCq.drop(this.receives)
    this.sendCq.unreserve(this.sends.depth)
    this.receiveCq.unreserve(this.receives.depth)
    if (this.srq !== undefined) this.srq.users--
    this.pd.users--
    this.#device.forget(this)
  }

  /** There is a new request to do. */
  protected abstract work(more: boolean): void

  /** Ends the connection, if there is one: the queue pair is being destroyed. */
  protected abstract leave(): void

  protected flush(): void {
    this.flushSends()
    this.flushReceives()
  }

  /** Ends what is in the send queue; a provider may keep some of it until its memory is free. */
  protected flushSends(): void {
    while (this.sends.completed < this.sends.posted) this.completeSend(WorkStatus.workRequestFlushedError)
  }

  protected flushReceives(): void {
    while (this.receives.completed < this.receives.posted)
      this.completeReceive(WorkStatus.workRequestFlushedError)
  }

  #inline(place: SendPlace): void {
    if (place.isRead) throw new VerbsError("request", "a read can't be inline")
    if (place.length > this.inlineBytes)
      throw new VerbsError(
        "request",
        `${place.length} bytes are more than the ${this.inlineBytes} of an inline request`,
      )
    const data = new Uint8Array(place.length)
    if (!gather(this.table, this.pd, place, 0, data))
      throw new VerbsError("request", "the memory of an inline request isn't registered")
    place.inlineData = data
  }
}
