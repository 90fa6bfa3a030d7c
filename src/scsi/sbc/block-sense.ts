import { BlockError } from "../../backstore/block-device.ts"
import { ProtectionError } from "../../backstore/protection/protected-device.ts"
import type { ProtectionField } from "../../backstore/protection/tuple.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"

export type MediumAccess = "read" | "write"

/**
 * The sense of a block device's failure (SPC-4 §4.5). INFORMATION is the logical block: the one the
 * device names, else the first of the operation that failed; for a flush (no offset) there is none. What isn't a
 * BlockError comes back as it is.
 */
export function senseFromBlockError(
  error: unknown,
  access: MediumAccess,
  blockBytes: number,
  offsetBytes?: number,
): unknown {
  if (!(error instanceof BlockError)) return error
  const [key, asc] = senseOf(error, access)
  const at = error.offsetBytes ?? offsetBytes
  const lba = at === undefined || key === SenseKey.notReady ? undefined : Math.floor(at / blockBytes)
  return new SenseError(key, asc, error.message, lba === undefined ? {} : { information: lba })
}

/** What is said of a field of protection information that is wrong: also with MISCOMPARE (SBC-3, VERIFY). */
export const protectionAsc: Readonly<Record<ProtectionField, Asc>> = {
  guard: Asc.logicalBlockGuardCheckFailed,
  applicationTag: Asc.logicalBlockApplicationTagCheckFailed,
  referenceTag: Asc.logicalBlockReferenceTagCheckFailed,
}

function senseOf(error: BlockError, access: MediumAccess): [SenseKey, Asc] {
  if (error instanceof ProtectionError) return [SenseKey.abortedCommand, protectionAsc[error.field]]
  switch (error.reason) {
    case "out-of-range": // the device shrank between our check and its own
      return [SenseKey.illegalRequest, Asc.lbaOutOfRange]
    case "read-only":
      return [SenseKey.dataProtect, Asc.writeProtected]
    case "no-space":
      return [SenseKey.dataProtect, Asc.spaceAllocationFailed]
    case "write-lost":
      return [SenseKey.mediumError, Asc.writeError]
    case "cancelled":
      return [SenseKey.abortedCommand, Asc.noAdditionalSense]
    case "closed":
      return [SenseKey.notReady, Asc.logicalUnitNotReadyCauseNotReportable]
    case "io":
      return [SenseKey.mediumError, access === "read" ? Asc.unrecoveredReadError : Asc.writeError]
  }
}
