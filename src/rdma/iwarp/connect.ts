import type { ByteStream } from "../../base/byte-stream.ts"
import { RDMA_CONNECT_DEADLINE_MS } from "../../base/limits.ts"
import { hostAndPort, NetworkError } from "../../base/network-error.ts"
import { ConnectionRejectedError, VerbsError } from "../verbs/index.ts"
import type { Connection, ConnectOptions } from "../verbs/index.ts"
import { checkRetries, claim } from "../verbs/software/parameters.ts"
import type { AgreedParameters } from "../verbs/software/parameters.ts"
import { IwarpConnection } from "./connection.ts"
import type { IwarpDevice } from "./device.ts"
import { encodeMpaFrame } from "./mpa/frame.ts"
import type { Enhanced, MpaFrame } from "./mpa/frame.ts"
import { offer, settled } from "./mpa/negotiation.ts"
import { MpaFrameReceiver } from "./mpa/receiver.ts"
import type { MpaFrameUser } from "./mpa/receiver.ts"
import type { IwarpQueuePair } from "./queue-pair.ts"
import { encodeTerminate, Terminate, terminateFpdu } from "./terminate.ts"
import type { TerminateCode } from "./terminate.ts"

/** The asking side (RFC 5044 §7.1.2): one attempt, until it is settled one way or the other. */
export class Attempt {
  readonly #device: IwarpDevice
  readonly #agreed: AgreedParameters
  readonly #signal: AbortSignal | undefined
  readonly #abort = new AbortController()
  readonly #resolve: (connection: Connection) => void
  readonly #reject: (error: Error) => void
  readonly #cleanUp: () => void
  #settled = false
  #stream: ByteStream | undefined
  #receiver: MpaFrameReceiver | undefined
  #revision: number
  #offer: Enhanced | undefined
  #where = "the peer"

  /** Throws VerbsError for parameters that are no good, and takes the queue pair. */
  constructor(
    device: IwarpDevice,
    options: ConnectOptions,
    resolve: (connection: Connection) => void,
    reject: (error: Error) => void,
  ) {
    const { signal, deadlineMs = RDMA_CONNECT_DEADLINE_MS } = options
    checkRetries(options.retryCount)
    this.#device = device
    this.#agreed = claim(device, options)
    this.#signal = signal
    this.#revision = device.revision
    this.#resolve = resolve
    this.#reject = reject
    const fail = (error: Error): void => this.#fail(error)
    const onAbort = (): void => fail(signal?.reason as Error)
    const timer = device.clock.after(deadlineMs, "iwarp: connect", () => fail(this.#timeout()))
    signal?.addEventListener("abort", onAbort, { once: true })
    device.unsettled.add(fail)
    this.#agreed.qp.abandon = () => fail(new VerbsError("closed", "the queue pair was destroyed"))
    this.#cleanUp = () => {
      timer.cancel()
      signal?.removeEventListener("abort", onAbort)
      device.unsettled.delete(fail)
      this.#agreed.qp.abandon = undefined
    }
  }

  /** Connects to an address first; a peer that hangs up at our request is asked again as RFC 5044 has it. */
  to(address: { host: string; port: number }): void {
    this.#where = hostAndPort(address.host, address.port)
    if (this.#signal?.aborted) return this.#fail(this.#signal.reason as Error)
    const again = (): void => {
      this.#revision = 1
      this.#dial(address, undefined)
    }
    this.#dial(address, this.#revision > 1 ? again : undefined)
  }

  #dial(address: { host: string; port: number }, again: (() => void) | undefined): void {
    this.#device.network.connect(address, { signal: this.#abort.signal }).then(
      (stream) => {
        if (this.#settled) return stream.destroy()
        this.#ask(stream, again)
        stream.start(this.#receiver!)
      },
      (error: unknown) => this.#fail(error as Error),
    )
  }

  /** Asks over a stream there is. */
  over(stream: ByteStream): void {
    this.#where = hostAndPort(stream.remote.address, stream.remote.port)
    if (this.#signal?.aborted) {
      stream.destroy()
      return this.#fail(this.#signal.reason as Error)
    }
    this.#ask(stream, undefined)
    stream.handOver(this.#receiver!)
  }

  #ask(stream: ByteStream, again: (() => void) | undefined): void {
    const { privateData } = this.#agreed
    const { crc, peerToPeer } = this.#device
    this.#stream = stream
    this.#offer = this.#revision > 1 ? offer(this.#agreed, peerToPeer) : undefined
    const user: MpaFrameUser = {
      frame: (frame) => this.#answered(frame, again),
      refused: (why) => this.#fail(this.#nonsense(why)),
      gone: (error) =>
        again ? this.#retry(again) : this.#fail(error ?? this.#lost("has dropped the connection")),
    }
    this.#receiver = new MpaFrameReceiver("reply", user)
    const request: MpaFrame = {
      kind: "request",
      markers: false,
      crc,
      rejected: false,
      revision: this.#revision,
      enhanced: this.#offer,
      privateData,
    }
    // Nothing may follow it before the answer: siw takes a byte more for a broken protocol.
    stream.write([encodeMpaFrame(request)])
  }

  /** The peer is one of RFC 5044 alone, or seems so. */
  #retry(again: () => void): void {
    if (this.#settled) return
    this.#hangUp()
    again()
  }

  #answered(reply: MpaFrame, again: (() => void) | undefined): void {
    const asked = this.#offer
    if (reply.rejected)
      return this.#fail(
        new ConnectionRejectedError(`${this.#where} has rejected the connection`, reply.privateData),
      )
    if (reply.markers) return this.#fail(this.#nonsense("it asks for markers, which there are none of here"))
    if (asked === undefined) return this.#establish(reply, this.#agreed, undefined)
    // Without read depths of its own it has taken ours for private data (RFC 6581 §9).
    if (reply.enhanced === undefined)
      return again ? this.#retry(again) : this.#fail(this.#nonsense("its answer has no read depths"))
    const outcome = settled(asked, reply.enhanced, this.#agreed)
    if (outcome === "insufficient-ird")
      return this.#terminate(Terminate.insufficientIrd, reply, "it wants more reads under way than we serve")
    if (outcome === "no-matching-rtr")
      return this.#terminate(Terminate.noMatchingRtr, reply, "it knows no way to begin that we do")
    this.#establish(reply, outcome.depths, outcome.rtr)
  }

  #establish(
    reply: MpaFrame,
    { responderResources, initiatorDepth }: { responderResources: number; initiatorDepth: number },
    rtr: Enhanced | undefined,
  ): void {
    const { qp, disconnected } = this.#agreed
    this.#settled = true
    this.#cleanUp()
    this.#receiver?.close()
    const connection = new IwarpConnection(this.#device, this.#stream!, {
      role: "active",
      qp: qp as IwarpQueuePair,
      privateData: reply.privateData,
      responderResources,
      initiatorDepth,
      crc: reply.crc || this.#device.crc,
      rtr,
      disconnected,
    })
    connection.begin()
    this.#resolve(connection)
  }

  #terminate(code: TerminateCode, reply: MpaFrame, why: string): void {
    const crc = reply.crc || this.#device.crc
    this.#stream?.write([terminateFpdu(encodeTerminate(code, undefined, 0), crc)])
    this.#stream?.end()
    this.#stream = undefined
    this.#fail(this.#nonsense(why))
  }

  #fail(error: Error): void {
    if (this.#settled) return
    this.#settled = true
    this.#cleanUp()
    this.#hangUp()
    this.#abort.abort(error)
    this.#agreed.qp.enterError()
    this.#reject(error)
  }

  #hangUp(): void {
    this.#receiver?.close()
    this.#stream?.destroy()
    this.#stream = undefined
  }

  #timeout(): NetworkError {
    const message = `can't connect to ${this.#where}: no answer in time`
    return new NetworkError("ERR_CONNECTION_TIMED_OUT", message, "ETIMEDOUT")
  }

  #lost(what: string): NetworkError {
    return new NetworkError("ERR_CONNECTION_LOST", `${this.#where} ${what}`, "ECONNRESET")
  }

  #nonsense(why: string): NetworkError {
    return new NetworkError("ERR_CONNECTION_LOST", `${this.#where} speaks no MPA we know: ${why}`, "EPROTO")
  }
}
