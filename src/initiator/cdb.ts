/**
 * The CDBs a Disk sends (SPC-4 §6, SBC-3 §5). LBAs and counts are whole numbers; where a ten byte form can carry them
 * it is used, since every device has it.
 */

function u16(cdb: Uint8Array, at: number, value: number): void {
  cdb[at] = value >>> 8
  cdb[at + 1] = value
}

function u32(cdb: Uint8Array, at: number, value: number): void {
  cdb[at] = value >>> 24
  cdb[at + 1] = value >>> 16
  cdb[at + 2] = value >>> 8
  cdb[at + 3] = value
}

function u64(cdb: Uint8Array, at: number, value: number): void {
  u32(cdb, at, Math.floor(value / 2 ** 32))
  u32(cdb, at + 4, value >>> 0)
}

/** Whether LBA and count fit the ten byte form. */
const short = (lba: number, countBlocks: number): boolean => lba <= 0xffffffff && countBlocks <= 0xffff

function blockCdb(
  opcode10: number,
  opcode16: number,
  flags: number,
  lba: number,
  countBlocks: number,
): Uint8Array {
  if (short(lba, countBlocks)) {
    const cdb = new Uint8Array(10)
    cdb[0] = opcode10
    cdb[1] = flags
    u32(cdb, 2, lba)
    u16(cdb, 7, countBlocks)
    return cdb
  }
  const cdb = new Uint8Array(16)
  cdb[0] = opcode16
  cdb[1] = flags
  u64(cdb, 2, lba)
  u32(cdb, 10, countBlocks)
  return cdb
}

const FUA = 0b0000_1000
const BYTCHK = 0b0000_0010
const UNMAP = 0b0000_1000

export const read = (lba: number, countBlocks: number, fua = false) =>
  blockCdb(0x28, 0x88, fua ? FUA : 0, lba, countBlocks)

export const write = (lba: number, countBlocks: number, fua = false) =>
  blockCdb(0x2a, 0x8a, fua ? FUA : 0, lba, countBlocks)

/** With `compare`, to what comes as Data-Out; otherwise only that it can be read. */
export const verify = (lba: number, countBlocks: number, compare: boolean) =>
  blockCdb(0x2f, 0x8f, compare ? BYTCHK : 0, lba, countBlocks)

/** 0 blocks: all. */
export const synchronizeCache = (lba = 0, countBlocks = 0) => blockCdb(0x35, 0x91, 0, lba, countBlocks)

export function writeSame(lba: number, countBlocks: number, unmap: boolean): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = 0x93
  cdb[1] = unmap ? UNMAP : 0
  u64(cdb, 2, lba)
  u32(cdb, 10, countBlocks)
  return cdb
}

/** `countBlocks` is that of one of the two halves, 1 to 255. */
export function compareAndWrite(lba: number, countBlocks: number, fua = false): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = 0x89
  cdb[1] = fua ? FUA : 0
  u64(cdb, 2, lba)
  cdb[13] = countBlocks
  return cdb
}

export function unmap(parameterBytes: number): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = 0x42
  u16(cdb, 7, parameterBytes)
  return cdb
}

export interface BlockRange {
  readonly lba: number
  readonly countBlocks: number
}

/** UNMAP parameter list (SBC-3 §5.28.2). */
export function unmapParameters(ranges: readonly BlockRange[]): Uint8Array {
  const list = new Uint8Array(8 + 16 * ranges.length)
  u16(list, 0, list.length - 2)
  u16(list, 2, list.length - 8)
  ranges.forEach(({ lba, countBlocks }, i) => {
    u64(list, 8 + 16 * i, lba)
    u32(list, 16 + 16 * i, countBlocks)
  })
  return list
}

/** SERVICE ACTION IN (16). */
function serviceActionIn(action: number, lba: number, allocationBytes: number): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = 0x9e
  cdb[1] = action
  u64(cdb, 2, lba)
  u32(cdb, 10, allocationBytes)
  return cdb
}

export const readCapacity16 = (allocationBytes: number) => serviceActionIn(0x10, 0, allocationBytes)
export const getLbaStatus = (lba: number, allocationBytes: number) =>
  serviceActionIn(0x12, lba, allocationBytes)
export const readCapacity10 = () => blockCdb(0x25, 0x25, 0, 0, 0)
export const testUnitReady = () => new Uint8Array(6)

/** `page`: a VPD page; absent: standard INQUIRY data. */
export function inquiry(allocationBytes: number, page?: number): Uint8Array {
  const cdb = Uint8Array.of(0x12, page === undefined ? 0 : 1, page ?? 0, 0, 0, 0)
  u16(cdb, 3, allocationBytes)
  return cdb
}

/** Without block descriptors. */
export const modeSense6 = (page: number, allocationBytes: number) =>
  Uint8Array.of(0x1a, 0x08, page, 0, allocationBytes, 0)

export function reportLuns(allocationBytes: number): Uint8Array {
  const cdb = new Uint8Array(12)
  cdb[0] = 0xa0
  u32(cdb, 6, allocationBytes)
  return cdb
}
