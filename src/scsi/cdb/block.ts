import { OperationCode, ServiceActionIn16 } from "../spec/operation-code.ts"
import { putU16, putU32, putU64 } from "./fields.ts"

/**
 * Builders of SBC-3's CDBs. LBAs and numbers of blocks are whole Numbers; what a form has no room for is the caller's
 * mistake and cut off. `flags` is byte 1 of the CDB: see BlockFlag.
 */
export const BlockFlag = { dpo: 0x10, fua: 0x08, immed: 0x02 } as const

/** BYTCHK of VERIFY and WRITE AND VERIFY: what is compared, in byte 1. */
export const ByteCheck = { medium: 0x00, all: 0x02, one: 0x06 } as const

/** UNMAP, ANCHOR and NDOB of WRITE SAME, in byte 1. */
export const WriteSameBit = { anchor: 0x10, unmap: 0x08, noDataOutBuffer: 0x01 } as const

/** 21 bits of LBA; 256 blocks are said by 0. */
function six(opcode: number, lba: number, blocks: number): Uint8Array {
  const cdb = new Uint8Array(6)
  cdb[0] = opcode
  cdb[1] = (lba >>> 16) & 0x1f
  putU16(cdb, 2, lba & 0xffff)
  cdb[4] = blocks
  return cdb
}

function ten(opcode: number, lba: number, blocks: number, flags: number): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = opcode
  cdb[1] = flags
  putU32(cdb, 2, lba)
  putU16(cdb, 7, blocks)
  return cdb
}

function twelve(opcode: number, lba: number, blocks: number, flags: number): Uint8Array {
  const cdb = new Uint8Array(12)
  cdb[0] = opcode
  cdb[1] = flags
  putU32(cdb, 2, lba)
  putU32(cdb, 6, blocks)
  return cdb
}

function sixteen(opcode: number, lba: number, blocks: number, flags: number): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = opcode
  cdb[1] = flags
  putU64(cdb, 2, lba)
  putU32(cdb, 10, blocks)
  return cdb
}

export const read6 = (lba: number, blocks: number): Uint8Array => six(OperationCode.read6, lba, blocks)
export const read10 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  ten(OperationCode.read10, lba, blocks, flags)
export const read12 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  twelve(OperationCode.read12, lba, blocks, flags)
export const read16 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  sixteen(OperationCode.read16, lba, blocks, flags)

export const write6 = (lba: number, blocks: number): Uint8Array => six(OperationCode.write6, lba, blocks)
export const write10 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  ten(OperationCode.write10, lba, blocks, flags)
export const write12 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  twelve(OperationCode.write12, lba, blocks, flags)
export const write16 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  sixteen(OperationCode.write16, lba, blocks, flags)

export const verify10 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  ten(OperationCode.verify10, lba, blocks, flags)
export const verify12 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  twelve(OperationCode.verify12, lba, blocks, flags)
export const verify16 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  sixteen(OperationCode.verify16, lba, blocks, flags)

export const writeAndVerify10 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  ten(OperationCode.writeAndVerify10, lba, blocks, flags)
export const writeAndVerify12 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  twelve(OperationCode.writeAndVerify12, lba, blocks, flags)
export const writeAndVerify16 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  sixteen(OperationCode.writeAndVerify16, lba, blocks, flags)

export const orWrite16 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  sixteen(OperationCode.orWrite16, lba, blocks, flags)

/** SBC-3 §5.2: `blocks` is at most 255; Data-Out has twice as many. */
export function compareAndWrite(lba: number, blocks: number, flags = 0): Uint8Array {
  const cdb = sixteen(OperationCode.compareAndWrite, lba, 0, flags)
  cdb[13] = blocks
  return cdb
}

/** SBC-3 §5.37, 5.38: one block of Data-Out, written `blocks` times (0: up to the end). */
export const writeSame10 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  ten(OperationCode.writeSame10, lba, blocks, flags)
export const writeSame16 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  sixteen(OperationCode.writeSame16, lba, blocks, flags)

/** 0 blocks: up to the end. */
export const synchronizeCache10 = (lba = 0, blocks = 0, flags = 0): Uint8Array =>
  ten(OperationCode.synchronizeCache10, lba, blocks, flags)
export const synchronizeCache16 = (lba = 0, blocks = 0, flags = 0): Uint8Array =>
  sixteen(OperationCode.synchronizeCache16, lba, blocks, flags)

export const preFetch10 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  ten(OperationCode.preFetch10, lba, blocks, flags)
export const preFetch16 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  sixteen(OperationCode.preFetch16, lba, blocks, flags)

export function readCapacity10(): Uint8Array {
  return ten(OperationCode.readCapacity10, 0, 0, 0)
}

export const readCapacity16 = (allocationBytes = 32): Uint8Array =>
  sixteen(OperationCode.serviceActionIn16, 0, allocationBytes, ServiceActionIn16.readCapacity16)

/** SBC-3 §5.5: the extents from `lba` on. */
export const getLbaStatus = (lba: number, allocationBytes: number): Uint8Array =>
  sixteen(OperationCode.serviceActionIn16, lba, allocationBytes, ServiceActionIn16.getLbaStatus)

/** SBC-3 §5.25: see unmapParameterList. */
export function unmap(parameterListBytes: number): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = OperationCode.unmap
  putU16(cdb, 7, parameterListBytes)
  return cdb
}

/** A run of logical blocks. */
export interface LbaRange {
  readonly lba: number
  /** 1 to 2^32 - 1. */
  readonly blocks: number
}

/** The parameter list of UNMAP (SBC-3 §5.25.2). */
export function unmapParameterList(ranges: readonly LbaRange[]): Uint8Array {
  const list = new Uint8Array(8 + 16 * ranges.length)
  putU16(list, 0, list.length - 2)
  putU16(list, 2, list.length - 8)
  ranges.forEach(({ lba, blocks }, i) => {
    putU64(list, 8 + 16 * i, lba)
    putU32(list, 16 + 16 * i, blocks)
  })
  return list
}

export interface StartStopOptions {
  readonly immediate?: boolean
  readonly loadOrEject?: boolean
  /** Stopping, the cache isn't written back first. */
  readonly noFlush?: boolean
  /** POWER CONDITION (SBC-3 §5.17); then START and LOEJ mean nothing. Default 0: as START says. */
  readonly powerCondition?: number
}

export function startStopUnit(start: boolean, options: StartStopOptions = {}): Uint8Array {
  const cdb = new Uint8Array(6)
  cdb[0] = OperationCode.startStopUnit
  if (options.immediate) cdb[1] = 0x01
  cdb[4] =
    ((options.powerCondition ?? 0) << 4) |
    (options.noFlush ? 0x04 : 0) |
    (options.loadOrEject ? 0x02 : 0) |
    (start ? 0x01 : 0)
  return cdb
}
