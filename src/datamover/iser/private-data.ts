/**
 * What both sides say of iSER while their connection is made: four bytes that come first in the private data.
 * RFC 7145 doesn't have them; the InfiniBand architecture's annex on iSER does, and Linux sends them whatever
 * the RDMA.
 */

/** Zero-based virtual addresses are not supported (request), not used (answer). Nobody does. */
const NO_ZERO_BASED = 0x80
/** Send with Invalidate is not supported (request), not used (answer). */
const NO_REMOTE_INVALIDATE = 0x40

const BYTES = 4

/** Whoever sends it takes, or will use, Send with Invalidate. */
export function encodePrivateData(remoteInvalidate: boolean): Uint8Array {
  const data = new Uint8Array(BYTES)
  data[0] = NO_ZERO_BASED | (remoteInvalidate ? 0 : NO_REMOTE_INVALIDATE)
  return data
}

/** Whether the initiator takes Send with Invalidate: it has to say so; over iWARP some say nothing at all. */
export const takesRemoteInvalidate = (request: Uint8Array): boolean =>
  request.length >= BYTES && (request[0]! & NO_REMOTE_INVALIDATE) === 0
