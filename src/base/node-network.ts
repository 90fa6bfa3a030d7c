import type { Network } from "./byte-stream.ts"

/** The operating system's TCP. */
export declare const nodeNetwork: Network
