import type { Endpoint } from "../../base/byte-stream.ts"
import type { Enhanced } from "./mpa/frame.ts"
import type { FpduSize } from "./options.ts"
import { UNTAGGED_BYTES } from "./wire.ts"

/**
 * How long FPDUs are. RFC 5044 §5 wants each to fit one TCP segment, because adapters that place data as segments
 * come can't put longer ones together. Software takes any length, and long ones cost it far less. A socket of ours
 * can neither ask for the segment size nor align anything to segments; so by default they are as long as one
 * segment of an Ethernet takes, unless it is known that longer ones do no harm:
 *
 * - The two ends are one machine: its own interface has segments of almost 64 KiB.
 * - The peer has sent an FPDU longer than a segment of any network: then it doesn't go by segments itself.
 * - The peer can begin in all three ways of RFC 6581's peer-to-peer model, as we can, and so two of us know each
 *   other. Adapters' drivers say the one that their firmware does (cxgb4, irdma, nes), siw two.
 * - Whoever makes the device says so.
 */

/** TCP payload of an Ethernet frame: 1500 bytes less IPv4 and TCP headers with timestamps. */
const ETHERNET_SEGMENT_BYTES = 1448
/** Longer than any segment with jumbo frames. */
const SEGMENT_BYTES_MAX = 9000
/** Payload of a long FPDU: whole pages, below the 64,768 bytes of ULPDU that RFC 5044 §5 allows. */
const LONG_PAYLOAD_BYTES = 60 * 1024
/** Bytes of ULPDU that RFC 5044 §5 allows at least, and at most. */
export const ULPDU_BYTES_MIN = 128
export const ULPDU_BYTES_MAX = 64768

/** The longest ULPDU that fits a segment (RFC 5044 §5.1, without markers). */
const fitting = (segmentBytes: number): number => segmentBytes - 6 - (segmentBytes % 4)

/** Payload of each FPDU, so much that a header of either kind goes with it. */
export function payloadBytesOf(size: FpduSize, long: boolean): number {
  if (typeof size === "number") return size - UNTAGGED_BYTES
  if (size === "auto" && long) return LONG_PAYLOAD_BYTES
  return fitting(ETHERNET_SEGMENT_BYTES) - UNTAGGED_BYTES
}

/** Whether a peer that has sent a ULPDU of so many bytes shows by it that it takes long ones. */
export const isLong = (ulpduBytes: number): boolean => ulpduBytes > SEGMENT_BYTES_MAX

/** Whether a peer that begins in these ways shows by it that it is software, and takes long FPDUs. */
export const knowsAllWays = (rtr: Enhanced | undefined): boolean =>
  rtr !== undefined && rtr.rtrSend && rtr.rtrWrite && rtr.rtrRead

/** Whether the two ends are on one machine. */
export const areOneMachine = (local: Endpoint, remote: Endpoint): boolean =>
  local.address === remote.address || (isLoopback(local.address) && isLoopback(remote.address))

const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.")
