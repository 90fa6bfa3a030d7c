import type { Clock } from "../../base/clock.ts"
import {
  ISER_RECEIVES_MAX,
  ISER_SENDS_MAX,
  SEND_QUEUE_BYTES_HIGH,
  TRANSFER_STEP_BYTES,
} from "../../base/limits.ts"
import { DatamoverError } from "../../iscsi/da.ts"
import { CompletionOpcode, WorkCompletion, WorkStatus, workStatusName } from "../../rdma/verbs/index.ts"
import type { CompletionQueue, Connection, Disconnection, QueuePair } from "../../rdma/verbs/index.ts"
import type { IserOptions } from "./options.ts"
import { ReceiveRing } from "./receive-ring.ts"
import type { ReceiveSlot } from "./receive-ring.ts"
import { memoryOf } from "./registered-memory.ts"
import type { RegisteredPool } from "./registered-memory.ts"
import { SEND_ENTRIES, SendRing } from "./send-ring.ts"

/** Completions taken at a time. */
const BATCH = 32
/** What a system takes at once, whether the peer lives or not, is less; in bytes. */
const BACKLOG_BYTES = SEND_QUEUE_BYTES_HIGH / 2
/** With so much on its way to a peer that doesn't take it, no more of its requests are taken, in bytes. */
const CLOGGED_BYTES = SEND_QUEUE_BYTES_HIGH + TRANSFER_STEP_BYTES
/**
 * With so much gathered within a turn it is posted, in bytes: less costs more writes, more keeps the peer waiting for the
 * whole turn, and then us for the peer. At 4 KiB and depth 32 half as much again gets through as with 256 KiB.
 */
const POST_BYTES = 64 * 1024

export interface ChannelUser {
  /** A message has come; `slot` keeps it until the call returns, or as long as somebody holds it. */
  messageReceived(slot: ReceiveSlot, bytes: number, invalidatedRkey: number): void
  /** The turn is over, or requests have ended: time to ask for more. */
  refill(): void
  /** The connection is gone: with an error, unless we have asked for that. Comes once. */
  channelGone(error: Error | undefined): void
}

/**
 * An RDMA connection with all it takes: queue pair, completion queues, receives, memory. Everything that
 * happens is handled in turns of the event loop; what a turn gives cause to send leaves together at its end.
 *
 *     made (one receive posted) -> established -> start -> end | the peer's end -> drained -> destroyed
 */
export class Channel {
  readonly qp: QueuePair
  readonly registered: RegisteredPool
  readonly sends: SendRing
  readonly receives: ReceiveRing
  /** Changes with every sign of life of the peer. */
  activity = 0
  /** Nothing is delivered or sent any more. */
  over = false
  connection: Connection | undefined
  /** Gives up the attempt to get a connection, while there is none. */
  abandonAttempt: (() => void) | undefined
  readonly #sendCq: CompletionQueue
  readonly #receiveCq: CompletionQueue
  readonly #acknowledged: boolean
  #user: ChannelUser | undefined
  readonly #ended = Array.from({ length: BATCH }, () => new WorkCompletion())
  /** Receives that were polled; those from #at on haven't been looked at. */
  readonly #arrived = Array.from({ length: BATCH }, () => new WorkCompletion())
  #at = 0
  #count = 0
  #paused = false
  #inTurn = false
  #postScheduled = false
  #unpostedBytes = 0
  /** The user has asked for the end: it isn't told of it. */
  #asked = false
  /** Why it ends, where that isn't what the device says. */
  #failure: Error | undefined
  #event: Disconnection | undefined
  /** It was, or needn't be, disconnected. */
  #ending = false
  #told = false
  /** The queue pair is in ERROR. */
  #broken = false
  #destroyed = false
  /** Called once nothing is under way: what is to happen then. */
  #whenQuiet: (() => void) | undefined
  readonly #postNow = () => {
    this.#postScheduled = false
    this.post()
  }
  readonly #goOn = () => this.#turn()

  /** The first receive takes data segments of `segmentBytes`. Throws VerbsError. */
  constructor(options: IserOptions, registered: RegisteredPool, segmentBytes: number) {
    const { device } = options
    const { limits } = device
    this.registered = registered
    this.#acknowledged = device.capabilities.acknowledged
    const sendQueueDepth = Math.min(ISER_SENDS_MAX, limits.workRequestsMax)
    const receiveQueueDepth = Math.min(ISER_RECEIVES_MAX, limits.workRequestsMax)
    const undo: (() => void)[] = registered.own ? [() => registered.close()] : []
    try {
      this.#sendCq = device.createCq(sendQueueDepth, this.#goOn)
      undo.push(() => this.#sendCq.destroy())
      this.#receiveCq = device.createCq(receiveQueueDepth, this.#goOn)
      undo.push(() => this.#receiveCq.destroy())
      const { pd } = registered
      const depth = receiveQueueDepth
      const srq =
        limits.sharedReceiveQueuesMax > 0 ? device.createSrq({ pd, depth, entriesMax: 1 }) : undefined
      if (srq !== undefined) undo.push(() => srq.destroy())
      const queues = { sendCq: this.#sendCq, receiveCq: this.#receiveCq, sendQueueDepth, receiveQueueDepth }
      const entries = { sendEntriesMax: SEND_ENTRIES, receiveEntriesMax: 1 }
      this.qp = device.createQp({ pd, ...queues, ...entries, ...(srq && { srq }) })
      undo.push(() => this.qp.destroy())
      this.sends = new SendRing(this.qp)
      this.receives = new ReceiveRing(memoryOf(device), pd, this.qp, srq, () => this.#receivesGone())
      // Login is strictly question and answer: one receive is all it takes, and all that peers have.
      this.receives.grow(1, segmentBytes)
      this.receives.post()
    } catch (error) {
      for (const step of undo.reverse()) step()
      throw error
    }
    this.#receiveCq.arm()
  }

  // ------------------------------------------------------------------------------------------ the way of a turn

  /** Begins delivery, from the event loop; what has come since it was made isn't lost. */
  start(user: ChannelUser, clock: Clock): void {
    this.#user = user
    clock.after(0, "iser: start", () => {
      this.#turn()
      if (this.#event !== undefined) this.#tell(this.#event)
    })
  }

  /** The connection is there; what was to be sent before leaves now. */
  established(connection: Connection): void {
    this.connection = connection
    this.abandonAttempt = undefined
    if (this.#ending) connection.disconnect()
    else this.#turn()
  }

  /** No connection comes about. */
  unestablished(error: Error): void {
    this.#failure ??= error
    this.abandonAttempt = undefined
    this.over = true
    this.#ending = true
    this.sends.abandon()
    this.#tell({ reason: "lost", detail: error.message })
    this.#destroy()
  }

  #turn(): void {
    if (this.#destroyed || (this.#user === undefined && !this.over)) return
    this.#inTurn = true
    try {
      this.#takeEnded()
      this.#takeArrived()
    } catch (error) {
      // Whatever it is, it costs this connection and no other.
      this.fail(error instanceof Error ? error : new DatamoverError("ERR_DATAMOVER", String(error)))
      // There may be more to take, and no notice of it to come.
      queueMicrotask(this.#goOn)
    }
    this.#inTurn = false
    if (!this.over) this.#user?.refill()
    this.post()
    this.#settle()
  }

  #takeEnded(): void {
    const ended = this.#ended
    let armed = false
    for (;;) {
      const count = this.#sendCq.poll(ended)
      for (let i = 0; i < count; i++) this.#sendEnded(ended[i]!)
      if (count > 0) continue
      // What came between the last poll and arm gives no notice; with nothing under way, none can come.
      if (armed || this.sends.empty) return
      this.#sendCq.arm()
      armed = true
    }
  }

  #sendEnded(completion: WorkCompletion): void {
    const { wrId, status, opcode } = completion
    if (status === WorkStatus.success) {
      // Elsewhere the end of a send only says that its memory is free; but while much waits, that it goes on
      // is all there is to see of the peer.
      const told = this.#acknowledged || opcode === CompletionOpcode.rdmaRead
      if (told || this.sends.queuedBytes >= BACKLOG_BYTES) this.activity++
    } else if (status !== WorkStatus.workRequestFlushedError) {
      this.fail(
        new DatamoverError("ERR_CONNECTION_LOST", `an RDMA request failed: ${workStatusName(status)}`),
      )
    }
    this.sends.completed(wrId, status)
  }

  #takeArrived(): void {
    let armed = false
    // What goes on when it's clogged are sends, and the end of each begins a turn.
    while (!this.#paused && (this.over || this.sends.queuedBytes <= CLOGGED_BYTES)) {
      if (this.#at === this.#count) {
        if (!this.over && !this.#broken) this.receives.post()
        this.#at = 0
        this.#count = this.#receiveCq.poll(this.#arrived)
        if (this.#count === 0) {
          if (armed) return
          this.#receiveCq.arm()
          armed = true
          continue
        }
      }
      this.#receiveEnded(this.#arrived[this.#at++]!)
    }
  }

  #receiveEnded(completion: WorkCompletion): void {
    const { status, byteLength } = completion
    // What would be posted now would come straight back.
    if (status !== WorkStatus.success) this.#broken = true
    const slot = this.receives.take(completion.wrId, byteLength)
    try {
      if (this.over) return
      if (status === WorkStatus.success) {
        this.activity++
        this.#user?.messageReceived(slot, byteLength, completion.invalidatedRkey)
      } else if (status !== WorkStatus.workRequestFlushedError) {
        this.fail(
          new DatamoverError("ERR_CONNECTION_LOST", `an RDMA receive failed: ${workStatusName(status)}`),
        )
      }
    } finally {
      slot.release()
    }
  }

  /** Stops and resumes taking messages; up to those posted, they wait with the device. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    queueMicrotask(this.#goOn)
  }

  // ------------------------------------------------------------------------------------------ sending

  /** A request of `bytes` was added: it leaves at the end of the turn, or soon; at once when it's much. */
  leave(bytes: number): void {
    this.#unpostedBytes += bytes
    if (this.#unpostedBytes >= POST_BYTES) this.post()
    else if (!this.#inTurn && !this.#postScheduled) {
      this.#postScheduled = true
      queueMicrotask(this.#postNow)
    }
  }

  post(): void {
    this.#unpostedBytes = 0
    if (this.#event !== undefined || this.#destroyed || !this.sends.unposted) return
    if (this.connection === undefined || this.qp.state === "RESET") return
    try {
      this.sends.post()
      // Much of it may be through already: then no turn has to be taken for it.
      this.#takeEnded()
    } catch (error) {
      this.fail(error as Error)
    }
  }

  // ------------------------------------------------------------------------------------------ the end

  /** It can't go on. The user is told, once the device has let go. */
  fail(error: Error): void {
    this.#failure ??= error
    this.#end()
  }

  /** Drops the connection: nothing the peer does reaches us from here on. The user isn't told. */
  end(): void {
    this.#asked = true
    this.#end()
  }

  #end(): void {
    if (this.#ending) return
    this.#ending = true
    this.over = true
    this.#whenQuiet = undefined
    this.#paused = false
    this.connection?.disconnect()
    this.abandonAttempt?.()
    this.sends.cancel(() => true)
    this.#settleSoon()
  }

  /** As `fail`, once all that was to be sent has been. */
  failWhenSent(error: Error): void {
    this.#failure ??= error
    this.over = true
    this.#whenQuiet = () => this.#end()
    this.#settleSoon()
  }

  /**
   * Delivers nothing any more; calls `quiet` once all that was to be sent has been. The user isn't told of
   * the end.
   */
  endWhenSent(quiet: () => void): void {
    this.#asked = true
    if (this.over) return
    this.over = true
    this.#paused = false
    this.#whenQuiet = quiet
    this.#settleSoon()
  }

  /** Upcalls come from the event loop, and so does the end. */
  #settleSoon(): void {
    if (!this.#inTurn) queueMicrotask(this.#goOn)
  }

  /** The device says that the connection has ended. */
  disconnected(event: Disconnection): void {
    // What came before the end is delivered.
    this.#turn()
    this.#event = event
    this.#ending = true
    if (this.qp.state === "RESET") this.sends.abandon()
    this.over = true
    this.#paused = false
    this.#whenQuiet = undefined
    this.sends.cancel(() => true)
    this.#tell(event)
    this.#turn()
  }

  #tell(event: Disconnection): void {
    if (this.#user === undefined || this.#told) return
    this.#told = true
    const code = event.reason === "peer" ? "ERR_CONNECTION_ENDED" : "ERR_CONNECTION_LOST"
    const failure = this.#failure ?? new DatamoverError(code, event.detail)
    this.#user.channelGone(this.#asked ? undefined : failure)
  }

  /** It never came to be established, or there is no user for it. */
  abandon(): void {
    this.over = true
    this.connection?.disconnect()
    if (this.connection === undefined) this.#destroy()
  }

  #settle(): void {
    if (!this.over) return
    if (this.#whenQuiet !== undefined && this.sends.empty) {
      const quiet = this.#whenQuiet
      this.#whenQuiet = undefined
      quiet()
    }
    const reset = this.qp.state === "RESET"
    if (this.#event !== undefined && ((this.sends.empty && this.receives.due === 0) || reset)) this.#destroy()
  }

  /** Nothing of ours is with the device any more. */
  #destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    this.sends.abandon()
    this.qp.destroy()
    this.#sendCq.destroy()
    this.#receiveCq.destroy()
    this.receives.close()
  }

  #receivesGone(): void {
    if (this.registered.own) this.registered.close()
  }
}
