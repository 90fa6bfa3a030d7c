import type { DataBuffer } from "../../base/buffers.ts"
import type { ByteReceiver, ByteStream, Endpoint } from "../../base/byte-stream.ts"
import type { Clock, Timer } from "../../base/clock.ts"
import { CLOSE_DEADLINE_MS, SEND_QUEUE_BYTES_HIGH } from "../../base/limits.ts"
import { DatamoverError } from "../../iscsi/da.ts"
import type { Datamover, DatamoverKeys, DatamoverUpcalls, RunningNumbers } from "../../iscsi/da.ts"
import { RejectReason } from "../../iscsi/pdu/index.ts"
import type { ArrivedPdu } from "../shared/arrived-pdu.ts"
import type { DataBufferBudget } from "../shared/budget.ts"
import { LOGIN_KEYS } from "../shared/login-keys.ts"
import { Framer } from "./framer.ts"
import type { FramerUser, Sink } from "./framer.ts"
import { PduWriter } from "./pdu-writer.ts"
import { SendQueue } from "./send-queue.ts"

export interface TcpDatamoverOptions {
  readonly clock: Clock
  /** One per process. */
  readonly budget: DataBufferBudget
  /** The stream has been started, by somebody who had to see its first bytes: these, fewer than make a PDU. */
  readonly head?: Uint8Array
}

/** So much gathers at most in a turn before it is sent, in bytes. */
const FLUSH_BYTES = 256 * 1024
/** Why no PDUs are taken. */
const HALTED_BY_USER = 1
const HALTED_BY_QUEUE = 2

/**
 * What both roles share of an iSCSI connection over a byte stream: framing and digests both ways, the send queue,
 * the beginning and the end.
 *
 *     start -> login framing -> enableDatamover -> full feature framing -> connectionClose | loss | terminate
 */
export abstract class TcpConnection implements Datamover, ByteReceiver, FramerUser {
  readonly transport = "tcp"
  readonly local: Endpoint
  readonly remote: Endpoint
  activity = 0
  protected readonly queue: SendQueue
  protected readonly writer: PduWriter
  protected readonly framer: Framer
  protected upcalls!: DatamoverUpcalls
  protected numbers!: RunningNumbers
  protected keys = LOGIN_KEYS
  /** Nothing is sent or delivered any more. */
  protected over = false
  readonly #stream: ByteStream
  readonly #clock: Clock
  readonly #head: Uint8Array | undefined
  #fullFeature = false
  #started = false
  #inTurn = false
  #flushScheduled = false
  #halts = 0
  /** The iSCSI layer has asked for the end: it isn't told of it. */
  #asked = false
  #failure: Error | undefined
  #closeTimer: Timer | undefined
  readonly #flushNow = () => {
    this.#flushScheduled = false
    this.flush()
  }
  readonly #goOn = () => this.#turn(0)

  constructor(stream: ByteStream, options: TcpDatamoverOptions) {
    this.#stream = stream
    this.#clock = options.clock
    this.#head = options.head
    this.local = stream.local
    this.remote = stream.remote
    this.queue = new SendQueue(stream, () => this.#sent())
    this.writer = new PduWriter(options.budget.arena, this.queue)
    this.framer = new Framer(options.budget.pool, this)
  }

  // ------------------------------------------------------------------------------------------ for subclasses

  abstract begins(pdu: ArrivedPdu, sink: Sink): boolean
  abstract arrived(pdu: ArrivedPdu): void
  abstract placed(pdu: ArrivedPdu): void
  abstract deallocateTaskResources(initiatorTaskTag: number): void
  /** Ends everything that waits for the peer. May be called more than once. */
  protected abstract settle(): void
  /** The turn is over, or part of the queue has gone: time to send what was held back. */
  protected abstract refill(): void
  /** A header that could still be changed gets its final form. */
  protected abstract seal(): void

  // ------------------------------------------------------------------------------------------ the stream's calls

  buffer(): Uint8Array {
    return this.framer.buffer()
  }

  received(bytes: number): void {
    this.activity++
    if (!this.over) this.#turn(bytes)
  }

  /** Takes up what has come; everything it makes us send leaves together. */
  #turn(bytes: number): void {
    if (this.over) return
    this.#inTurn = true
    try {
      if (bytes > 0) this.framer.received(bytes)
      else this.framer.run()
    } catch (error) {
      // Whatever it is, it costs this connection and no other.
      this.fail(error instanceof Error ? error : new DatamoverError("ERR_DATAMOVER", String(error)))
    }
    this.#inTurn = false
    if (this.over) return
    this.refill()
    this.flush()
  }

  ended(): void {
    if (this.over) return
    const where = this.framer.withinPdu ? " in the middle of a PDU" : ""
    this.fail(new DatamoverError("ERR_CONNECTION_ENDED", `the peer has closed the connection${where}`))
  }

  closed(error?: Error): void {
    this.#closeTimer?.cancel()
    this.#finish()
    this.framer.close()
    if (this.#asked) return
    const why =
      this.#failure ??
      new DatamoverError("ERR_CONNECTION_LOST", error?.message ?? "the connection was dropped", {
        cause: error,
      })
    this.upcalls.connectionTerminateNotify(why)
  }

  #sent(): void {
    if (this.over) return
    // While nothing is read, that the peer reads is all there is to see of it.
    if (this.#halts !== 0) this.activity++
    if ((this.#halts & HALTED_BY_QUEUE) !== 0 && this.queue.queuedBytes < SEND_QUEUE_BYTES_HIGH / 2) {
      this.#unhalt(HALTED_BY_QUEUE)
    }
    this.refill()
    this.flush()
  }

  /** The connection can't go on: the peer has broken the framing, or the transport has failed. */
  protected fail(error: Error): void {
    if (this.over) return
    this.#failure = error
    this.#finish()
    this.#stream.destroy(error)
  }

  #finish(): void {
    this.over = true
    this.framer.halted = true
    this.settle()
    this.queue.drop()
  }

  // ------------------------------------------------------------------------------------------ the iSCSI layer's calls

  start(upcalls: DatamoverUpcalls, numbers: RunningNumbers): void {
    this.upcalls = upcalls
    this.numbers = numbers
    this.#started = true
    const head = this.#head
    if (head === undefined) return this.#stream.start(this)
    // Too few for a PDU: nothing is told upwards from within this call.
    this.framer.buffer().set(head)
    this.framer.received(head.length)
    this.#stream.handOver(this)
  }

  allocateConnectionResources(): void {
    // A TCP connection needs nothing but itself: memory is taken as it's used.
    if (this.over) throw new DatamoverError("ERR_CONNECTION_LOST", "the connection is gone")
  }

  deallocateConnectionResources(): void {}

  noticeKeyValues(keys: DatamoverKeys): void {
    this.keys = keys
    if (this.#fullFeature) this.applyKeys()
  }

  enableDatamover(finalLoginResponse?: { header: Uint8Array; data?: Uint8Array }): void {
    if (finalLoginResponse) this.sendControl(finalLoginResponse.header, finalLoginResponse.data)
    this.#fullFeature = true
    this.applyKeys()
  }

  protected applyKeys(): void {
    const headerDigest = this.keys.headerDigest === "CRC32C"
    const dataDigest = this.keys.dataDigest === "CRC32C"
    this.writer.setDigests(headerDigest, dataDigest)
    this.framer.headerDigest = headerDigest
    this.framer.dataDigest = dataDigest
    this.framer.dataBytesMax = this.keys.maxRecvDataSegmentLength
  }

  sendControl(header: Uint8Array, data?: Uint8Array | DataBuffer): void {
    if (this.over) {
      if (data !== undefined && !(data instanceof Uint8Array)) data.release()
      return
    }
    this.seal()
    this.writer.put(header, data)
    this.leave()
  }

  connectionClose(): void {
    if (this.over) return
    this.#asked = true
    this.refill()
    this.flush()
    this.#finish()
    this.loseSink()
    if (this.#halts !== 0) this.#stream.resume()
    this.#stream.end()
    this.#closeTimer = this.#clock.after(CLOSE_DEADLINE_MS, "datamover: the peer's goodbye", () =>
      this.#stream.destroy(),
    )
  }

  /**
   * Gives the stream up, for another protocol to take over, once all that was sent is on its way; `head` is what has come
   * and isn't ours. Nothing is told any more.
   */
  detach(): { stream: ByteStream; head: Uint8Array } {
    this.flush()
    const head = this.framer.leftover()
    this.#asked = true
    this.#finish()
    // A PDU may lie in its memory that somebody is being told of.
    queueMicrotask(() => this.framer.close())
    return { stream: this.#stream, head }
  }

  connectionTerminate(): void {
    this.#asked = true
    this.#finish()
    this.#stream.destroy()
    // Never started, the stream has nobody to tell that it's gone.
    if (!this.#started) this.framer.close()
  }

  pause(): void {
    this.#halt(HALTED_BY_USER)
  }

  resume(): void {
    this.#unhalt(HALTED_BY_USER)
  }

  #halt(why: number): void {
    if (this.over) return
    if (this.#halts === 0) this.#stream.pause()
    this.#halts |= why
    this.framer.halted = true
  }

  #unhalt(why: number): void {
    if (this.over || (this.#halts & why) === 0) return
    this.#halts &= ~why
    if (this.#halts !== 0) return
    this.framer.halted = false
    this.#stream.resume()
    // What has come already is taken up from the event loop, not from within this call.
    queueMicrotask(this.#goOn)
  }

  damaged(pdu: ArrivedPdu): void {
    this.upcalls.formatErrorNotify(RejectReason.dataDigestError, "the data digest of a PDU is wrong", pdu)
  }

  // ------------------------------------------------------------------------------------------ sending

  /** Something was queued: it leaves at the end of the turn, or soon; at once when it's much, unless `later`. */
  protected leave(later = false): void {
    if (!later && this.queue.unflushedBytes >= FLUSH_BYTES) this.flush()
    else if (!this.#inTurn && !this.#flushScheduled) {
      this.#flushScheduled = true
      queueMicrotask(this.#flushNow)
    }
  }

  protected flush(): void {
    if (this.queue.unflushedBytes === 0) return
    this.seal()
    this.queue.flush()
    if (this.queue.pendingBytes > SEND_QUEUE_BYTES_HIGH) this.#halt(HALTED_BY_QUEUE)
  }

  /** What was being received goes nowhere from now on, not even the bytes the stream already has a place for. */
  protected loseSink(): void {
    this.framer.dropSink()
    this.#stream.refreshBuffer()
  }
}
