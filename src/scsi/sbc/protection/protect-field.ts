import type { ProtectionChecks } from "../../../backstore/protection/tuple.ts"
import { noChecks } from "../../../backstore/protection/tuple.ts"
import { invalidFieldInCdb } from "../../sam/field-error.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import type { BlockCdb } from "./block-cdb.ts"
import type { DiskProtection } from "./disk-protection.ts"

/** What a value of RDPROTECT and its like says. */
interface ProtectRow {
  /** Protection information goes with the blocks. */
  readonly transmitted: boolean
  readonly guard: boolean
  readonly tags: boolean
  /** VERIFY with BYTCHK compares the guard sent with the one stored (SBC-3 §5.29). */
  readonly compareGuard: boolean
}

/**
 * RDPROTECT, WRPROTECT, VRPROTECT and ORPROTECT by their value (the tables of SBC-3's READ (10), WRITE (10), VERIFY (10) and ORWRITE (16)): one,
 * for where the standard's differ we check what they let us check ("may"). 110b and 111b are reserved.
 */
const rows: readonly (ProtectRow | undefined)[] = [
  { transmitted: false, guard: true, tags: true, compareGuard: false },
  { transmitted: true, guard: true, tags: true, compareGuard: true },
  { transmitted: true, guard: false, tags: true, compareGuard: false },
  { transmitted: true, guard: false, tags: false, compareGuard: true },
  { transmitted: true, guard: true, tags: false, compareGuard: true },
  { transmitted: true, guard: true, tags: true, compareGuard: true },
  undefined,
  undefined,
]

/** How a command treats protection information. */
export interface ProtectPlan {
  readonly transmitted: boolean
  /** Of what is stored and read, or of what the initiator sends. */
  readonly checks: ProtectionChecks
  /** By which generated reference tags differ from the LBA. */
  readonly referenceTagOffset: number
  /** Which fields VERIFY compares with those sent. */
  readonly compare: {
    readonly guard: boolean
    readonly applicationTag: boolean
    readonly referenceTag: boolean
  }
}

/**
 * What the *PROTECT field of a command asks for. Throws SenseError: for type 2 only 32-byte CDBs may ask for anything, and they are for
 * type 2 alone (SBC-3 §4.22.2.3); INVALID FIELD IN CDB for a reserved value.
 */
export function protectPlan({ protect, protectAt, expected, lba }: BlockCdb, unit: PlannedFor): ProtectPlan {
  const { protection, control } = unit
  const { type } = protection
  if (type === 2 ? protect !== 0 && expected === undefined : expected !== undefined) {
    throw new SenseError(
      SenseKey.illegalRequest,
      Asc.invalidCommandOperationCode,
      `type ${type} protection and this command don't go together`,
      { field: { in: "cdb", byte: 0 } },
    )
  }
  const row = rows[protect]
  if (row === undefined) throw invalidFieldInCdb(`${protect} is reserved`, protectAt, 7)
  const referenceTagOffset = expected === undefined ? 0 : expected.initialReferenceTag - (lba >>> 0)
  const ato = control.applicationTagOwner
  return {
    transmitted: row.transmitted,
    checks: {
      guard: row.guard,
      applicationTag: row.tags && ato ? applicationTagOf(expected) : undefined,
      // Of type 2 it is known by 32-byte CDBs only, of type 3 never.
      referenceTagOffset: row.tags && (type === 1 || expected !== undefined) ? referenceTagOffset : undefined,
    },
    referenceTagOffset,
    compare: {
      guard: row.compareGuard,
      applicationTag: row.transmitted && ato,
      referenceTag: row.transmitted && (type !== 3 || !ato),
    },
  }
}

/** What of a DiskUnit decides. */
export interface PlannedFor {
  readonly protection: Pick<DiskProtection, "type">
  readonly control: { readonly applicationTagOwner: boolean }
}

const applicationTagOf = (expected: BlockCdb["expected"]): ProtectionChecks["applicationTag"] =>
  expected && { expected: expected.applicationTag, mask: expected.applicationTagMask }

/** What is stored is checked by itself when the initiator sends nothing to check it by (SBC-3 §5.29). */
export const checksOfMedium = ({ transmitted, checks }: ProtectPlan): ProtectionChecks =>
  transmitted ? noChecks : checks

/** What the initiator sends: without protection information there is nothing to check. */
export const checksOfDataOut = ({ transmitted, checks }: ProtectPlan): ProtectionChecks =>
  transmitted ? checks : noChecks
