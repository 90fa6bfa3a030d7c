import { u16, u32 } from "../../cdb/fields.ts"
import { invalidFieldInCdb } from "../../sam/field-error.ts"
import { OperationCode } from "../../spec/operation-code.ts"
import { u64 } from "../fields.ts"

/** ADDITIONAL CDB LENGTH of a CDB of 32 bytes. */
const ADDITIONAL_BYTES = 0x18

/** The tags a 32-byte CDB expects (SBC-3 §5.14 and its like). */
export interface ExpectedTags {
  readonly initialReferenceTag: number
  readonly applicationTag: number
  readonly applicationTagMask: number
}

/** What block commands have in common, whatever the length of their CDB. */
export interface BlockCdb {
  readonly lba: number
  readonly blocks: number
  /** The byte of DPO, FUA, BYTCHK and the like. */
  readonly flags: number
  /** RDPROTECT, WRPROTECT, VRPROTECT or ORPROTECT. */
  readonly protect: number
  /** The byte it is in. */
  readonly protectAt: number
  /** Of 32-byte CDBs. */
  readonly expected: ExpectedTags | undefined
}

const blockCdb = (
  lba: number,
  blocks: number,
  flags: number,
  protectAt = 1,
  expected?: ExpectedTags,
): BlockCdb => ({ lba, blocks, flags, protect: flags >> 5, protectAt, expected })

export function parseBlockCdb(cdb: Uint8Array): BlockCdb {
  const opcode = cdb[0]!
  if (opcode === OperationCode.variableLength) return parse32(cdb)
  if (opcode === OperationCode.compareAndWrite) return blockCdb(u64(cdb, 2), cdb[13]!, cdb[1]!)
  switch (opcode >> 5) {
    case 0:
      return blockCdb(((cdb[1]! & 0x1f) << 16) | u16(cdb, 2), cdb[4]! || 256, 0)
    case 4:
      return blockCdb(u64(cdb, 2), u32(cdb, 10), cdb[1]!)
    case 5:
      return blockCdb(u32(cdb, 2), u32(cdb, 6), cdb[1]!)
    default:
      return blockCdb(u32(cdb, 2), u16(cdb, 7), cdb[1]!)
  }
}

/** Throws SenseError for a CDB that isn't as long as it has to be. */
function parse32(cdb: Uint8Array): BlockCdb {
  if (cdb[7] !== ADDITIONAL_BYTES || cdb.length < 32) {
    throw invalidFieldInCdb(`the ADDITIONAL CDB LENGTH is ${ADDITIONAL_BYTES}`, 7)
  }
  const expected = {
    initialReferenceTag: u32(cdb, 20),
    applicationTag: u16(cdb, 24),
    applicationTagMask: u16(cdb, 26),
  }
  return blockCdb(u64(cdb, 12), u32(cdb, 28), cdb[10]!, 10, expected)
}
