import type { Completion } from "../../base/completion.ts"
import { type BlockDevice, BlockError } from "../block-device.ts"
import type { ProtectionChecks, ProtectionField, ProtectionType } from "./tuple.ts"

/** Checks of protection information that failed, since the device was opened. */
export interface ProtectionErrors {
  guard: number
  applicationTag: number
  referenceTag: number
}

/**
 * A block device that keeps protection information beside each block. As a plain BlockDevice it makes it for what is
 * written, and checks it (the guard, and the reference tag of type 1) for what is read. Interleaved blocks are blocks of
 * `blockBytes` that are followed by their 8 bytes each.
 */
export interface ProtectedDevice extends BlockDevice {
  readonly protectionType: ProtectionType
  readonly blockBytes: number
  readonly protectionErrors: Readonly<ProtectionErrors>
  /** The application tag of blocks that come without protection information. */
  generatedApplicationTag: () => number
  /** Reads as many interleaved blocks as `into` has room for. Fails with ProtectionError, among others. */
  readProtected(firstBlock: number, into: Uint8Array, checks: ProtectionChecks, task?: object): Completion
  /** Checks interleaved blocks, then writes them. What fails is not written, blocks before it may be. */
  writeProtected(
    firstBlock: number,
    from: Uint8Array,
    checks: ProtectionChecks,
    fua: boolean,
    task?: object,
  ): Completion
  /** Checks interleaved blocks that came from elsewhere. Throws ProtectionError. */
  check(firstBlock: number, interleaved: Uint8Array, checks: ProtectionChecks): void
}

export const isProtected = (device: BlockDevice): device is ProtectedDevice => "readProtected" in device

/** A block doesn't agree with its protection information; `offsetBytes` is where it begins. Its `reason` is "io". */
export class ProtectionError extends BlockError {
  readonly field: ProtectionField

  constructor(name: string, field: ProtectionField, offsetBytes: number, why = "") {
    super("io", `${name}: ${words[field]} of the block at byte ${offsetBytes} is wrong${why}`, {
      offsetBytes,
    })
    this.field = field
  }
}

const words: Readonly<Record<ProtectionField, string>> = {
  guard: "the guard",
  applicationTag: "the application tag",
  referenceTag: "the reference tag",
}
