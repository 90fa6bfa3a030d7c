const encoder = new TextEncoder()

/** A field of `bytes` bytes of ASCII, left-aligned and filled with spaces (SPC-4 §4.3.1). */
export function ascii(text: string, bytes: number): Uint8Array {
  const field = new Uint8Array(bytes).fill(0x20)
  field.set(encoder.encode(text).subarray(0, bytes))
  return field
}
