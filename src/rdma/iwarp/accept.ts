import type { ByteStream, Endpoint } from "../../base/byte-stream.ts"
import type { Timer } from "../../base/clock.ts"
import { CLOSE_DEADLINE_MS, MPA_DEADLINE_MS, RDMA_ACCEPT_DEADLINE_MS } from "../../base/limits.ts"
import { hostAndPort, NetworkError } from "../../base/network-error.ts"
import type { Connection, ConnectionParameters, ConnectionRequest } from "../verbs/index.ts"
import { checkPrivateData, claim } from "../verbs/software/parameters.ts"
import type { AgreedParameters } from "../verbs/software/parameters.ts"
import { IwarpConnection } from "./connection.ts"
import type { IwarpDevice } from "./device.ts"
import { encodeMpaFrame } from "./mpa/frame.ts"
import type { MpaFrame } from "./mpa/frame.ts"
import { answer, offered } from "./mpa/negotiation.ts"
import { MpaFrameReceiver } from "./mpa/receiver.ts"
import type { MpaFrameUser } from "./mpa/receiver.ts"
import type { IwarpQueuePair } from "./queue-pair.ts"

/** Where streams come in, and how many of them haven't been answered. */
export interface Door {
  pending: number
}

const NOTHING = new Uint8Array(0)

/** Who is told what becomes of a stream; one of both calls comes, once. */
export interface IncomingUser {
  requested(request: ConnectionRequest): void
  /** No request came, or none that can be answered, and the stream is gone. */
  failed(error: Error): void
}

/** The asked side (RFC 5044 §7.1.3): a stream, until its request has been answered or it is gone. */
export class Incoming implements MpaFrameUser {
  readonly stream: ByteStream
  readonly device: IwarpDevice
  readonly receiver = new MpaFrameReceiver("request", this)
  readonly #door: Door
  readonly #user: IncomingUser
  readonly #drop: () => void
  #timer: Timer
  #frame: MpaFrame | undefined
  #asked = false
  #answered = false

  constructor(device: IwarpDevice, stream: ByteStream, door: Door, user: IncomingUser) {
    this.device = device
    this.stream = stream
    this.#door = door
    this.#user = user
    this.#drop = () => this.#give("it was not answered in time, or the device was closed")
    door.pending++
    device.unsettled.add(this.#drop)
    this.#timer = device.clock.after(MPA_DEADLINE_MS, "iwarp: request", this.#drop)
  }

  /** The request is here. */
  frame(frame: MpaFrame): void {
    this.#frame = frame
    if (frame.revision > 2) return this.#give(`it speaks revision ${frame.revision} of MPA`)
    // Markers are declined, as siw does it: whoever can't do without goes away.
    if (frame.markers) {
      this.#refuse(frame, NOTHING)
      return this.#tell("it asks for markers, which there are none of here")
    }
    this.#timer.cancel()
    this.#timer = this.device.clock.after(RDMA_ACCEPT_DEADLINE_MS, "iwarp: accept", this.#drop)
    this.#asked = true
    this.#user.requested(new Request(this, frame))
  }

  refused(why: string): void {
    this.#give(why)
  }

  gone(error: Error | undefined): void {
    this.#give(error?.message ?? "it has gone")
  }

  /** Whether this is the first answer, and there is still somebody to hear it. */
  settle(): boolean {
    if (this.#answered) return false
    this.#answered = true
    this.#door.pending--
    this.#timer.cancel()
    this.device.unsettled.delete(this.#drop)
    this.receiver.close()
    return true
  }

  #give(why: string): void {
    if (!this.settle()) return
    this.stream.destroy()
    this.#tell(why)
  }

  #tell(why: string): void {
    if (this.#asked) return
    this.#asked = true
    const { address, port } = this.stream.remote
    const message = `${hostAndPort(address, port)} came to no RDMA connection: ${why}`
    this.#user.failed(new NetworkError("ERR_CONNECTION_LOST", message, "EPROTO"))
  }

  /** Says no, and waits for the peer to go. */
  reject(privateData: Uint8Array): void {
    if (this.#frame !== undefined) this.#refuse(this.#frame, privateData)
  }

  #refuse(frame: MpaFrame, privateData: Uint8Array): void {
    if (!this.settle()) return
    const { stream, device } = this
    const enhanced = frame.enhanced && {
      ...frame.enhanced,
      peerToPeer: false,
      rtrSend: false,
      rtrWrite: false,
      rtrRead: false,
    }
    stream.write([
      encodeMpaFrame({ ...frame, kind: "reply", markers: false, rejected: true, enhanced, privateData }),
    ])
    stream.end()
    const timer = device.clock.after(CLOSE_DEADLINE_MS, "iwarp: rejected", () => stream.destroy())
    stream.handOver({
      buffer: () => new Uint8Array(64),
      received: () => {},
      ended: () => {},
      closed: () => timer.cancel(),
    })
  }
}

class Request implements ConnectionRequest {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly privateData: Uint8Array
  readonly responderResources: number
  readonly initiatorDepth: number
  readonly #incoming: Incoming
  readonly #frame: MpaFrame

  constructor(incoming: Incoming, frame: MpaFrame) {
    const { responderResourcesMax, initiatorDepthMax } = incoming.device.limits
    const most = { responderResources: responderResourcesMax, initiatorDepth: initiatorDepthMax }
    const depths = offered(frame.enhanced, most)
    this.#incoming = incoming
    this.#frame = frame
    this.local = incoming.stream.local
    this.remote = incoming.stream.remote
    this.privateData = frame.privateData
    this.responderResources = depths.responderResources
    this.initiatorDepth = depths.initiatorDepth
  }

  accept(parameters: ConnectionParameters): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const agreed = claim(this.#incoming.device, parameters)
      if (!this.#incoming.settle()) {
        agreed.qp.enterError()
        throw this.#lost("has had its answer, or is gone")
      }
      const connection = this.#connection(agreed)
      agreed.qp.abandon = undefined
      connection.onEstablished = () => resolve(connection)
      connection.onFailed = (detail) => reject(this.#lost(`came to nothing: ${detail}`))
      connection.begin()
    })
  }

  reject(privateData?: Uint8Array): void {
    this.#incoming.reject(checkPrivateData(this.#incoming.device, privateData))
  }

  #connection(agreed: AgreedParameters): IwarpConnection {
    const { device, stream } = this.#incoming
    const frame = this.#frame
    const depths = {
      responderResources: Math.min(agreed.responderResources, this.responderResources),
      initiatorDepth: Math.min(agreed.initiatorDepth, this.initiatorDepth),
    }
    const enhanced = frame.enhanced && answer(frame.enhanced, depths)
    const crc = frame.crc || device.crc
    const { privateData, disconnected } = agreed
    const reply: MpaFrame = {
      kind: "reply",
      markers: false,
      crc,
      rejected: false,
      revision: frame.revision,
      enhanced,
      privateData,
    }
    stream.write([encodeMpaFrame(reply)])
    return new IwarpConnection(device, stream, {
      role: "passive",
      qp: agreed.qp as IwarpQueuePair,
      privateData: frame.privateData,
      ...depths,
      crc,
      rtr: enhanced?.peerToPeer ? enhanced : undefined,
      disconnected,
    })
  }

  #lost(what: string): NetworkError {
    const where = hostAndPort(this.remote.address, this.remote.port)
    return new NetworkError("ERR_CONNECTION_LOST", `the request of ${where} ${what}`, "ECONNRESET")
  }
}
