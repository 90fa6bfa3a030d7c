import { u32 } from "../cdb/fields.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"

/** A 64-bit LBA. Beyond 2^53 it loses its low bits, which is harmless: no device is that long. */
export const u64 = (bytes: Uint8Array, at: number): number => u32(bytes, at) * 2 ** 32 + u32(bytes, at + 4)

/** Where a block command's TRANSFER LENGTH (or what stands for it) begins: its place follows from the CDB's length. */
export const lengthFieldOf = (cdb: Uint8Array): number => {
  switch (cdb[0]! >> 5) {
    case 0:
      return 4
    case 3: // VARIABLE LENGTH CDB of 32 bytes
      return 28
    case 4:
      return 10
    case 5:
      return 6
    default:
      return 7
  }
}

/** Where a block command's flags are (DPO, FUA, BYTCHK and their like). */
export const flagsFieldOf = (cdb: Uint8Array): number => (cdb[0]! >> 5 === 3 ? 10 : 1)

/**
 * The initiator announced an amount of data that doesn't fit the CDB: nothing is transferred (one of the ways FCP-4
 * allows for an overrun; iSCSI leaves it to the SCSI layer).
 */
export const wrongDataOutLength = (message: string): SenseError =>
  new SenseError(SenseKey.illegalRequest, Asc.invalidFieldInCommandInformationUnit, message)
