import type { Endpoint } from "../../base/byte-stream.ts"
import { LOGIN_DATA_SEGMENT_BYTES_MAX } from "../../base/limits.ts"
import type {
  Connection,
  ConnectionParameters,
  ConnectionRequest,
  ConnectOptions,
} from "../../rdma/verbs/index.ts"
import { Channel } from "./channel.ts"
import { IserInitiatorDatamover } from "./initiator.ts"
import type { IserOptions } from "./options.ts"
import { encodePrivateData, takesRemoteInvalidate } from "./private-data.ts"
import { memoryOf } from "./registered-memory.ts"
import { IserTargetDatamover } from "./target.ts"

/**
 * RDMA Reads of a target's that an initiator asks for, and of an initiator's that a target serves: none is
 * ever made.
 */
const OTHER_WAY_READS = 1

/** The largest data segment that a target's connection made now may agree to take, in bytes. */
export const targetSegmentBytes = ({ device }: IserOptions): number => memoryOf(device).targetSegmentBytes

/**
 * A target's first receive may be there when the first command comes, so it has room for whatever that may bring; an
 * initiator's is for answers.
 */
const targetChannel = (options: IserOptions, segmentBytes: number): Channel =>
  new Channel(options, memoryOf(options.device).forTarget(), segmentBytes)
const initiatorChannel = (options: IserOptions): Channel =>
  new Channel(options, memoryOf(options.device).forInitiator(), LOGIN_DATA_SEGMENT_BYTES_MAX)

interface Ends {
  readonly local: Endpoint
  readonly remote: Endpoint
}

/**
 * Takes the request for an iSER connection: the target's end, whose login comes in it. Rejects with a
 * NetworkError when the initiator has gone, a DatamoverError or VerbsError when there is no room for another
 * one; the request is then rejected.
 */
export async function acceptIser(
  request: ConnectionRequest,
  options: IserOptions,
): Promise<IserTargetDatamover> {
  let channel: Channel | undefined
  try {
    const segmentBytes = targetSegmentBytes(options)
    const made = targetChannel(options, segmentBytes)
    channel = made
    const datamover = new IserTargetDatamover(made, segmentBytes, options.clock, options.budget, request)
    made.established(await request.accept(acceptance(made, datamover, request)))
    return datamover
  } catch (error) {
    channel?.abandon()
    request.reject()
    throw error
  }
}

function acceptance(
  channel: Channel,
  datamover: IserTargetDatamover,
  request: ConnectionRequest,
): ConnectionParameters {
  datamover.invalidates = takesRemoteInvalidate(request.privateData)
  return {
    qp: channel.qp,
    privateData: encodePrivateData(datamover.invalidates),
    responderResources: Math.min(OTHER_WAY_READS, request.responderResources),
    initiatorDepth: Math.min(request.initiatorDepth, channel.qp.pd.device.limits.initiatorDepthMax),
    disconnected: (event) => channel.disconnected(event),
  }
}

/**
 * The target's end of a connection that is going to be RDMA, and the initiator's request for that, once it
 * comes.
 */
export interface AwaitedTarget {
  readonly datamover: IserTargetDatamover
  readonly requested: (request: ConnectionRequest) => void
  /** None comes. */
  readonly failed: (error: Error) => void
}

/**
 * The target's end of a connection that has logged in over TCP and is about to turn to iSER (RFC 7145 §5.1).
 * What it sends waits for the connection. `segmentBytes`: what targetSegmentBytes was before the login; `giveUp` ends the
 * wait. Throws VerbsError.
 */
export function awaitIser(
  ends: Ends,
  options: IserOptions,
  segmentBytes: number,
  giveUp: () => void,
): AwaitedTarget {
  const channel = targetChannel(options, segmentBytes)
  channel.abandonAttempt = giveUp
  const datamover = new IserTargetDatamover(channel, segmentBytes, options.clock, options.budget, ends)
  return {
    datamover,
    requested(request) {
      request.accept(acceptance(channel, datamover, request)).then(
        (connection) => channel.established(connection),
        (error: Error) => {
          request.reject()
          channel.unestablished(error)
        },
      )
    },
    failed: (error) => channel.unestablished(error),
  }
}

function proposal(channel: Channel): ConnectOptions {
  const { limits, capabilities } = channel.qp.pd.device
  return {
    qp: channel.qp,
    privateData: encodePrivateData(capabilities.remoteInvalidate),
    responderResources: limits.responderResourcesMax,
    initiatorDepth: OTHER_WAY_READS,
    disconnected: (event) => channel.disconnected(event),
  }
}

/**
 * Makes an iSER connection by `connect`, which is device.connect to somewhere or connectOver a stream: the
 * initiator's end, to log in through. Rejects with a DatamoverError or VerbsError when there is no room for
 * it, and as `connect` does.
 */
export async function connectIser(
  connect: (options: ConnectOptions) => Promise<Connection>,
  options: IserOptions,
  signal?: AbortSignal,
): Promise<IserInitiatorDatamover> {
  const channel = initiatorChannel(options)
  try {
    const connection = await connect({ ...proposal(channel), ...(signal && { signal }) })
    channel.established(connection)
    return new IserInitiatorDatamover(channel, options.clock, connection)
  } catch (error) {
    channel.abandon()
    throw error
  }
}

/**
 * The initiator's end of a connection that has logged in over TCP and turns to iSER by `connect` now. What it
 * sends waits for the connection. Throws VerbsError.
 */
export function turnToIser(
  connect: (options: ConnectOptions) => Promise<Connection>,
  ends: Ends,
  options: IserOptions,
): { readonly datamover: IserInitiatorDatamover; connect(): void } {
  const channel = initiatorChannel(options)
  const cancel = new AbortController()
  channel.abandonAttempt = () => cancel.abort(new Error("the connection was given up"))
  return {
    datamover: new IserInitiatorDatamover(channel, options.clock, ends),
    connect() {
      connect({ ...proposal(channel), signal: cancel.signal }).then(
        (connection) => channel.established(connection),
        (error: Error) => channel.unestablished(error),
      )
    },
  }
}
