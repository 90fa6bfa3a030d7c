/** A number as two and as four bytes, for descriptors that are written as lists of bytes. */
export const u16Bytes = (value: number): [number, number] => [value >>> 8, value & 0xff]
export const u32Bytes = (value: number): [number, number, number, number] => [
  value >>> 24,
  (value >>> 16) & 0xff,
  (value >>> 8) & 0xff,
  value & 0xff,
]
