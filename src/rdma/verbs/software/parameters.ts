import type { ConnectionParameters } from "../connection.ts"
import { VerbsError } from "../errors.ts"
import type { SoftwareDevice } from "./device.ts"
import { SoftwareQueuePair } from "./queue-pair.ts"

/** Parameters that hold, each within what the device can. */
export interface AgreedParameters {
  readonly qp: SoftwareQueuePair
  /** A copy. */
  readonly privateData: Uint8Array
  readonly responderResources: number
  readonly initiatorDepth: number
  readonly rnrRetryCount: number
  readonly disconnected: ConnectionParameters["disconnected"]
}

/** Checks what one side wants and takes its queue pair. Throws VerbsError. */
export function claim(device: SoftwareDevice, wanted: ConnectionParameters): AgreedParameters {
  const { limits } = device
  const { qp, disconnected } = wanted
  if (!(qp instanceof SoftwareQueuePair) || qp.pd.device !== device)
    throw new VerbsError("request", "the queue pair is not one of this device")
  const privateData = checkPrivateData(device, wanted.privateData)
  const responderResources = depth(wanted.responderResources, limits.responderResourcesMax)
  const initiatorDepth = depth(wanted.initiatorDepth, limits.initiatorDepthMax)
  const rnrRetryCount = checkRetries(wanted.rnrRetryCount)
  if (qp.state !== "INIT" || qp.claimed)
    throw new VerbsError("state", `a queue pair in state ${qp.state} can't be connected`)
  qp.claimed = true
  return { qp, privateData, responderResources, initiatorDepth, rnrRetryCount, disconnected }
}

/** A copy of private data that isn't too long. Throws VerbsError. */
export function checkPrivateData(device: SoftwareDevice, bytes: Uint8Array = new Uint8Array(0)): Uint8Array {
  const { privateDataBytesMax } = device.limits
  if (bytes.length > privateDataBytesMax)
    throw new VerbsError(
      "request",
      `${bytes.length} bytes of private data are more than ${privateDataBytesMax}`,
    )
  return Uint8Array.from(bytes)
}

export function checkRetries(wanted = 7): number {
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > 7)
    throw new VerbsError("request", `a retry count is 0 to 7, not ${wanted}`)
  return wanted
}

function depth(wanted: number | undefined, max: number): number {
  if (wanted === undefined) return max
  if (!Number.isInteger(wanted) || wanted < 0) throw new VerbsError("request", `${wanted} is no read depth`)
  return Math.min(wanted, max)
}
