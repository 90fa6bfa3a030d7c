const encoder = new TextEncoder()

/** A field of `bytes` bytes of ASCII, left-aligned and filled with spaces (SPC-4 §4.3.1). */
export function ascii(text: string, bytes: number): Uint8Array {
  const field = new Uint8Array(bytes).fill(0x20)
  field.set(encoder.encode(text).subarray(0, bytes))
  return field
}

/** UTF-8 with at least one zero byte behind it, a multiple of four bytes long: a SCSI name string (SPC-4 §7.8.6.11). */
export function scsiNameString(name: string): Uint8Array {
  const text = encoder.encode(name)
  const field = new Uint8Array(Math.ceil((text.length + 1) / 4) * 4)
  field.set(text)
  return field
}
