import type { Command } from "../../sam/command.ts"
import { invalidFieldInCdb } from "../../sam/field-error.ts"
import type { ProtectedUnit } from "./transfer.ts"

/** FMTPINFO of FORMAT UNIT, and what it is for a type of protection (SBC-3 §5.3, table of FMTPINFO and PROTECTION FIELD USAGE). */
const FMTPINFO = 0xc0
const FMTDATA = 0x10
const FMTPINFO_OF = { 1: 0b10, 2: 0b11, 3: 0b11 } as const

/**
 * FORMAT UNIT of a disk that keeps protection information: as its type was chosen with its image it must ask for that type. Type 3
 * is told from type 2 by the PROTECTION FIELD USAGE, which `fieldUsageOf` says.
 */
export const protectedFormat = (row: Command): Command => ({
  ...row,
  usage: row.usage.map((mask, byte) => (byte === 1 ? mask | FMTPINFO : mask)),
  execute: (task, unit) => {
    const { type } = (unit as ProtectedUnit).protection
    // Without a parameter list PROTECTION FIELD USAGE is 000b.
    const told = (task.cdb[1]! & FMTDATA) !== 0 || fieldUsageOf(type) === 0
    if (task.cdb[1]! >> 6 !== FMTPINFO_OF[type] || !told) {
      throw invalidFieldInCdb(`the type of protection stays ${type}, by the image's format`, 1, 7)
    }
    return row.execute(task, unit)
  },
})

/** PROTECTION FIELD USAGE that goes with a unit's type: 001b makes type 3 of what is type 2 without. */
export const fieldUsageOf = (type: 1 | 2 | 3 | undefined): number => (type === 3 ? 0b001 : 0b000)
