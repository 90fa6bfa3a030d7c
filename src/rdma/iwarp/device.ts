import type { ByteStream, Listener } from "../../base/byte-stream.ts"
import { systemClock } from "../../base/clock.ts"
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
import type { IwarpOptions } from "./options.ts"
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
  readonly options: IwarpOptions

  constructor(options: IwarpOptions = {}) {
    super(options.clock ?? systemClock, options.random ?? systemRandom, options.limits)
    this.options = options
  }

  listen(
    _at: { host: string; port: number },
    _requested: (request: ConnectionRequest) => void,
  ): Promise<Listener> {
    return Promise.reject(new VerbsError("closed", "not yet"))
  }

  /**
   * Takes a stream that was accepted elsewhere, and started, and whose next bytes are an MPA Request; `head` is
   * what of it was read already. The deadlines are those of `listen`. `failed`: no request came, and the stream is
   * gone; one of both calls comes, once, from the event loop.
   */
  adopt(
    _stream: ByteStream,
    _head: Uint8Array,
    _requested: (request: ConnectionRequest) => void,
    _failed?: (error: Error) => void,
  ): void {
    throw new VerbsError("closed", "not yet")
  }

  connect(_to: { host: string; port: number }, _options: ConnectOptions): Promise<Connection> {
    return Promise.reject(new VerbsError("closed", "not yet"))
  }

  /**
   * rdma_connect over a stream there is already; it was started, and is handed over. Whatever comes of it, the
   * stream is the device's from now on.
   */
  connectOver(_stream: ByteStream, _options: ConnectOptions): Promise<Connection> {
    return Promise.reject(new VerbsError("closed", "not yet"))
  }

  protected override makeQp(number: number, options: QueuePairOptions): IwarpQueuePair {
    return new IwarpQueuePair(this, number, options)
  }
}
