/**
 * CRC-16/T10-DIF, the LOGICAL BLOCK GUARD of protection information (SBC-3 §4.22.4): polynomial 0x8BB7, most significant
 * bit first, begun with 0 and not inverted. On the wire its high byte comes first.
 *
 * Eight bytes per step: TABLES[k * 256 + b] is the effect of byte b when k more bytes follow it.
 */
const POLYNOMIAL = 0x8bb7

const TABLES = makeTables()

function makeTables(): Uint16Array {
  const tables = new Uint16Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? POLYNOMIAL : 0)) & 0xffff
    tables[byte] = crc
  }
  for (let i = 256; i < tables.length; i++) {
    const shorter = tables[i - 256]!
    tables[i] = ((shorter << 8) & 0xffff) ^ tables[shorter >> 8]!
  }
  return tables
}

/** The CRC of bytes[start, end), 0 to FFFFh. */
export function crcT10Dif(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const t = TABLES
  let crc = 0
  let at = start
  for (; at + 8 <= end; at += 8) {
    crc =
      t[0x700 + (bytes[at]! ^ (crc >> 8))]! ^
      t[0x600 + (bytes[at + 1]! ^ (crc & 0xff))]! ^
      t[0x500 + bytes[at + 2]!]! ^
      t[0x400 + bytes[at + 3]!]! ^
      t[0x300 + bytes[at + 4]!]! ^
      t[0x200 + bytes[at + 5]!]! ^
      t[0x100 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!
  }
  for (; at < end; at++) crc = ((crc << 8) & 0xffff) ^ t[(crc >> 8) ^ bytes[at]!]!
  return crc
}
