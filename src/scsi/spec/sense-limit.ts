const DESCRIPTOR = 0x72
const HEADER_BYTES = 8
const ADDITIONAL_SENSE_LENGTH = 7
/** SDAT_OVFL: there was more. In fixed format in byte 2, in descriptor format in byte 4. */
const FIXED_OVERFLOW = 0x10
const DESCRIPTOR_OVERFLOW = 0x80

/**
 * Sense data of at most `bytesMax` bytes, 0 being no limit (MAXIMUM SENSE DATA LENGTH of SPC-4 §7.5.9). What is left is whole:
 * descriptors that have no room are left out, and ADDITIONAL SENSE LENGTH tells what there is, as from FreeBSD's target.
 */
export function limitSense(sense: Uint8Array, bytesMax: number): Uint8Array {
  if (bytesMax === 0 || sense.length <= bytesMax) return sense
  const descriptors = (sense[0]! & 0x7f) >= DESCRIPTOR
  const cut = sense.slice(0, descriptors ? endOfDescriptors(sense, bytesMax) : bytesMax)
  // Bytes that aren't there any more take nothing.
  if (descriptors) cut[4]! |= DESCRIPTOR_OVERFLOW
  else cut[2]! |= FIXED_OVERFLOW
  cut[ADDITIONAL_SENSE_LENGTH] = Math.max(0, cut.length - HEADER_BYTES)
  return cut
}

function endOfDescriptors(sense: Uint8Array, bytesMax: number): number {
  let end = Math.min(HEADER_BYTES, bytesMax)
  for (let next = HEADER_BYTES; next <= bytesMax; next += 2 + sense[next + 1]!) end = next
  return end
}
