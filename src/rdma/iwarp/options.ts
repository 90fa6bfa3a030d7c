import type { Clock } from "../../base/clock.ts"
import type { Network } from "../../base/byte-stream.ts"
import type { Random } from "../../base/random.ts"
import type { DeviceLimits } from "../verbs/index.ts"

/** How long the FPDUs are that we send. */
export type FpduSize =
  /** Whatever goes into one TCP segment of an Ethernet, as RFC 5044 wants it. */
  | "mss"
  /** That, but as long as there may be to a peer known to take them: see fpdu-size.ts. */
  | "auto"
  /** ULPDU bytes of each, at most. */
  | number

export interface IwarpOptions {
  readonly network?: Network
  readonly clock?: Clock
  readonly random?: Random
  /** Whether we ask for CRC32C; without, it is used when the peer asks (RFC 5044 §7.1). Default: true. */
  readonly crc?: boolean
  /** Default: "auto". */
  readonly fpduBytes?: FpduSize
  /** Revision of MPA that connections of ours begin with: 2 has read depths (RFC 6581). Default: 2. */
  readonly revision?: 1 | 2
  /**
   * Whether connections of ours offer the peer-to-peer model, in which the asked side may send first
   * (RFC 6581 §9). Default: true.
   */
  readonly peerToPeer?: boolean
  readonly limits?: Partial<DeviceLimits>
}
