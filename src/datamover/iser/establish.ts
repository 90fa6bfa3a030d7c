import type { Connection, ConnectionRequest, ConnectOptions, Disconnection } from "../../rdma/verbs/index.ts"
import { Channel } from "./channel.ts"
import { IserInitiatorDatamover } from "./initiator.ts"
import type { IserOptions } from "./options.ts"
import { encodePrivateData, takesRemoteInvalidate } from "./private-data.ts"
import { memoryOf } from "./registered-memory.ts"
import { IserTargetDatamover } from "./target.ts"

/** RDMA Reads of a target's that an initiator asks for, and of an initiator's that a target serves: none is ever made. */
const OTHER_WAY_READS = 1

/**
 * Takes the request for an iSER connection: the target's end, whose login comes in it. Rejects with a NetworkError when
 * the initiator has gone, a DatamoverError or VerbsError when there is no room for another one; the request is then
 * rejected.
 */
export async function acceptIser(
  request: ConnectionRequest,
  options: IserOptions,
): Promise<IserTargetDatamover> {
  let channel: Channel | undefined
  try {
    const made = new Channel(options, memoryOf(options.device).forTarget())
    channel = made
    const invalidates = takesRemoteInvalidate(request.privateData)
    made.connection = await request.accept({
      qp: made.qp,
      privateData: encodePrivateData(invalidates),
      responderResources: Math.min(OTHER_WAY_READS, request.responderResources),
      initiatorDepth: Math.min(request.initiatorDepth, options.device.limits.initiatorDepthMax),
      disconnected: (event: Disconnection) => made.disconnected(event),
    })
    return new IserTargetDatamover(made, options.clock, options.budget, invalidates)
  } catch (error) {
    channel?.abandon()
    request.reject()
    throw error
  }
}

/**
 * Makes an iSER connection by `connect`, which is device.connect to somewhere or connectOver a stream: the initiator's
 * end, to log in through. Rejects with a DatamoverError or VerbsError when there is no room for it, and as `connect` does.
 */
export async function connectIser(
  connect: (options: ConnectOptions) => Promise<Connection>,
  options: IserOptions,
  signal?: AbortSignal,
): Promise<IserInitiatorDatamover> {
  const { device } = options
  const channel = new Channel(options, memoryOf(device).forInitiator())
  try {
    channel.connection = await connect({
      ...(signal && { signal }),
      qp: channel.qp,
      privateData: encodePrivateData(device.capabilities.remoteInvalidate),
      responderResources: device.limits.responderResourcesMax,
      initiatorDepth: OTHER_WAY_READS,
      disconnected: (event: Disconnection) => channel.disconnected(event),
    })
    return new IserInitiatorDatamover(channel, options.clock)
  } catch (error) {
    channel.abandon()
    throw error
  }
}
