import * as cdb from "../scsi/cdb/index.ts"

/**
 * Which of a command's forms a Disk sends: the one with ten bytes where LBA and count fit it, since every device has
 * that, and else the one with sixteen.
 */
const fitsTen = (lba: number, countBlocks: number): boolean => lba <= 0xffffffff && countBlocks <= 0xffff

const fuaFlag = (fua: boolean): number => (fua ? cdb.BlockFlag.fua : 0)

export const read = (lba: number, countBlocks: number): Uint8Array =>
  fitsTen(lba, countBlocks) ? cdb.read10(lba, countBlocks) : cdb.read16(lba, countBlocks)

export const write = (lba: number, countBlocks: number, fua: boolean): Uint8Array =>
  fitsTen(lba, countBlocks)
    ? cdb.write10(lba, countBlocks, fuaFlag(fua))
    : cdb.write16(lba, countBlocks, fuaFlag(fua))

/** With `compare`, to what comes as Data-Out; otherwise only that it can be read. */
export function verify(lba: number, countBlocks: number, compare: boolean): Uint8Array {
  const flags = compare ? cdb.ByteCheck.all : cdb.ByteCheck.medium
  return fitsTen(lba, countBlocks)
    ? cdb.verify10(lba, countBlocks, flags)
    : cdb.verify16(lba, countBlocks, flags)
}

export const writeSame = (lba: number, countBlocks: number, unmap: boolean): Uint8Array =>
  cdb.writeSame16(lba, countBlocks, unmap ? cdb.WriteSameBit.unmap : 0)

export const compareAndWrite = (lba: number, countBlocks: number, fua: boolean): Uint8Array =>
  cdb.compareAndWrite(lba, countBlocks, fuaFlag(fua))

/** A run of logical blocks. */
export interface BlockRange {
  readonly lba: number
  readonly countBlocks: number
}

export const unmapParameters = (ranges: readonly BlockRange[]): Uint8Array =>
  cdb.unmapParameterList(ranges.map(({ lba, countBlocks }) => ({ lba, blocks: countBlocks })))
