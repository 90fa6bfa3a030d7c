import type { ByteStream, Listener, Network } from "../../base/byte-stream.ts"
import { systemClock } from "../../base/clock.ts"
import { MPA_PRIVATE_DATA_BYTES_MAX, RDMA_REQUESTS_PENDING_MAX } from "../../base/limits.ts"
import { NetworkError } from "../../base/network-error.ts"
import { nodeNetwork } from "../../base/node-network.ts"
import { systemRandom } from "../../base/random.ts"
import { Access, VerbsError } from "../verbs/index.ts"
import type {
  Connection,
  ConnectionRequest,
  ConnectOptions,
  DeviceCapabilities,
  QueuePairOptions,
} from "../verbs/index.ts"
import { SoftwareDevice } from "../verbs/software/device.ts"
import { Incoming } from "./accept.ts"
import type { Door, IncomingUser } from "./accept.ts"
import { Attempt } from "./connect.ts"
import { ULPDU_BYTES_MAX, ULPDU_BYTES_MIN } from "./fpdu-size.ts"
import { IwarpMemory } from "./memory.ts"
import { ENHANCED_BYTES } from "./mpa/frame.ts"
import type { FpduSize, IwarpOptions } from "./options.ts"
import { IwarpQueuePair } from "./queue-pair.ts"

const CAPABILITIES: DeviceCapabilities = {
  remoteInvalidate: true,
  fastRegistration: true,
  acknowledged: false,
  receiverNotReady: false,
  wholeMessageChecks: false,
  readSinkAccess: Access.LocalWrite,
}

/** An RDMA device made of software, over TCP: iWARP (RFC 5040, 5041, 5044, 6581). */
export class IwarpDevice extends SoftwareDevice {
  readonly name = "iwarp"
  readonly transport = "iwarp"
  readonly capabilities = CAPABILITIES
  readonly network: Network
  readonly crc: boolean
  readonly revision: 1 | 2
  readonly peerToPeer: boolean
  readonly fpduSize: FpduSize
  /** What its connections share. */
  readonly memory = new IwarpMemory()
  readonly #listeners = new Set<Listener>()
  /** For all streams that were accepted elsewhere. */
  readonly #adoptions: Door = { pending: 0 }

  /** Throws VerbsError for an FPDU size there can't be. */
  constructor(options: IwarpOptions = {}) {
    const { clock = systemClock, random = systemRandom, fpduBytes = "auto", limits } = options
    const privateDataBytesMax = MPA_PRIVATE_DATA_BYTES_MAX - ENHANCED_BYTES
    super(clock, random, { privateDataBytesMax, ...limits })
    if (typeof fpduBytes === "number" && !(fpduBytes >= ULPDU_BYTES_MIN && fpduBytes <= ULPDU_BYTES_MAX))
      throw new VerbsError(
        "request",
        `an FPDU has ${ULPDU_BYTES_MIN} to ${ULPDU_BYTES_MAX} bytes, not ${fpduBytes}`,
      )
    this.network = options.network ?? nodeNetwork
    this.crc = options.crc ?? true
    this.revision = options.revision ?? 2
    this.peerToPeer = options.peerToPeer ?? true
    this.fpduSize = fpduBytes
  }

  /** What has come is handled before more is read: it is still in the processor's caches. */
  protected override wake(call: () => void): void {
    queueMicrotask(call)
  }

  async listen(
    at: { host: string; port: number },
    requested: (request: ConnectionRequest) => void,
  ): Promise<Listener> {
    this.checkOpen()
    const door: Door = { pending: 0 }
    const listener = await this.network.listen(at, (stream) => {
      const incoming = this.#come(stream, door, { requested, failed: () => {} })
      if (incoming !== undefined) stream.start(incoming.receiver)
    })
    this.#listeners.add(listener)
    return {
      local: listener.local,
      close: () => {
        this.#listeners.delete(listener)
        return listener.close()
      },
    }
  }

  /**
   * Takes a stream that was accepted elsewhere, and started, and whose next bytes are an MPA Request; `head` is
   * what of it was read already. The deadlines are those of `listen`. `failed`: no request came, and the stream is
   * gone; one of both calls comes, once, from the event loop. Throws VerbsError when the device was closed.
   */
  adopt(
    stream: ByteStream,
    head: Uint8Array,
    requested: (request: ConnectionRequest) => void,
    failed: (error: Error) => void = () => {},
  ): void {
    this.checkOpen()
    // The head may be all of it, and calls up don't come from within this one.
    const later = (call: () => void): void => void this.clock.after(0, "iwarp: adopted", call)
    const incoming = this.#come(stream, this.#adoptions, {
      requested: (request) => later(() => requested(request)),
      failed: (error) => later(() => failed(error)),
    })
    if (incoming === undefined) return
    stream.handOver(incoming.receiver)
    incoming.receiver.take(head)
    stream.refreshBuffer()
  }

  /** A stream somebody wants an RDMA connection over; undefined: there are too many. */
  #come(stream: ByteStream, door: Door, user: IncomingUser): Incoming | undefined {
    if (door.pending < RDMA_REQUESTS_PENDING_MAX) return new Incoming(this, stream, door, user)
    stream.destroy()
    user.failed(new NetworkError("ERR_CONNECTION_LOST", "too many RDMA connections are being asked for"))
    return undefined
  }

  connect(to: { host: string; port: number }, options: ConnectOptions): Promise<Connection> {
    return new Promise((resolve, reject) => {
      this.checkOpen()
      new Attempt(this, options, resolve, reject).to(to)
    })
  }

  /**
   * rdma_connect over a stream there is already; it was started, and is handed over. Whatever comes of it, the
   * stream is the device's from now on.
   */
  connectOver(stream: ByteStream, options: ConnectOptions): Promise<Connection> {
    return new Promise((resolve, reject) => {
      this.checkOpen()
      new Attempt(this, options, resolve, reject).over(stream)
    })
  }

  override async close(): Promise<void> {
    const listeners = [...this.#listeners]
    this.#listeners.clear()
    const closed = listeners.map((listener) => listener.close())
    await super.close()
    await Promise.all(closed)
  }

  protected override makeQp(number: number, options: QueuePairOptions): IwarpQueuePair {
    return new IwarpQueuePair(this, number, options)
  }
}
