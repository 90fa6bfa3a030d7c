import type { Endpoint } from "../../base/byte-stream.ts"
import type { Connection, Disconnection, DisconnectReason } from "../verbs/index.ts"
import type { FabricContext } from "./pipe.ts"
import { latencyOf, Pipe } from "./pipe.ts"
import type { LoopbackQueuePair } from "./queue-pair.ts"
import { Requester } from "./requester.ts"
import { Responder } from "./responder.ts"

export interface LoopbackEnd {
  readonly qp: LoopbackQueuePair
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly privateData: Uint8Array
  readonly responderResources: number
  readonly initiatorDepth: number
  readonly retryCount: number
  /** What the peer allows. */
  readonly rnrRetryCount: number
  readonly disconnected: (event: Disconnection) => void
}

/** One end of a connection of the loopback provider. */
export class LoopbackConnection implements Connection {
  readonly context: FabricContext
  readonly qp: LoopbackQueuePair
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly privateData: Uint8Array
  readonly responderResources: number
  readonly initiatorDepth: number
  readonly retryCount: number
  readonly rnrRetryCount: number
  readonly requester: Requester
  readonly responder: Responder
  /** What goes to the peer: requests, answers, and notice of the end, which may overtake both. */
  readonly requests: Pipe
  readonly responses: Pipe
  readonly notices: Pipe
  /** Set before anything is under way. */
  peer: LoopbackConnection = this
  /** What becomes of whoever waits for it to be established. */
  onEstablished: () => void = () => {}
  onFailed: () => void = () => {}
  ended = false
  readonly #disconnected: (event: Disconnection) => void
  #wasEstablished = false

  constructor(context: FabricContext, end: LoopbackEnd) {
    this.context = context
    this.qp = end.qp
    this.local = end.local
    this.remote = end.remote
    this.privateData = end.privateData
    this.responderResources = end.responderResources
    this.initiatorDepth = end.initiatorDepth
    this.retryCount = end.retryCount
    this.rnrRetryCount = end.rnrRetryCount
    this.#disconnected = end.disconnected
    this.requests = new Pipe(context)
    this.responses = new Pipe(context)
    this.notices = new Pipe(context)
    this.requester = new Requester(this)
    this.responder = new Responder(this)
    end.qp.connection = this
    end.qp.state = "RTR"
  }

  /** Both sides know of it; the first request of the peer says so as well as its RTU. */
  established(): void {
    if (this.#wasEstablished || this.ended) return
    this.#wasEstablished = true
    this.qp.state = "RTS"
    this.onEstablished()
  }

  disconnect(): void {
    this.end("local", "disconnected")
  }

  /** `told`: the peer knows already, by the answer that is on its way to it. */
  end(reason: DisconnectReason, detail: string, told = false): void {
    if (this.ended) return
    this.ended = true
    this.requester.stop()
    this.qp.enterError()
    const { context, peer } = this
    if (this.#wasEstablished)
      context.clock.after(latencyOf(context), "loopback: disconnected", () =>
        this.#disconnected({ reason, detail }),
      )
    else this.onFailed()
    // With an answer under way the notice follows it, so that the request it refuses ends as the answer says.
    const way = told ? this.responses : this.notices
    way.send(() => peer.end("peer", "the peer has disconnected"))
  }
}
