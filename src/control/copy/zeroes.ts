const zeroes = Buffer.alloc(64 * 1024)

/** Whether there is nothing but zeroes. */
export function isZero(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at < buffer.length; at += zeroes.length) {
    const end = Math.min(buffer.length, at + zeroes.length)
    // The system's memcmp: it ends at the first difference, and is faster than any loop here.
    if (buffer.compare(zeroes, 0, end - at, at, end) !== 0) return false
  }
  return true
}

export interface Run {
  readonly from: number
  readonly to: number
  readonly zero: boolean
}

/**
 * Divides bytes into runs that hold data and runs of zeroes. Looks at pieces of `granuleBytes`; zeroes shorter than
 * `worthBytes` count as data, because leaving them out would cost more commands than it saves bytes.
 */
export function splitZeroes(bytes: Uint8Array, granuleBytes: number, worthBytes: number): Run[] {
  const runs: Run[] = []
  const push = (from: number, to: number, zero: boolean) => {
    const last = runs.at(-1)
    if (last && last.zero === zero) runs[runs.length - 1] = { ...last, to }
    else if (from < to) runs.push({ from, to, zero })
  }
  let from = 0
  while (from < bytes.length) {
    const zero = isZero(bytes.subarray(from, Math.min(bytes.length, from + granuleBytes)))
    let to = from + granuleBytes
    while (
      to < bytes.length &&
      isZero(bytes.subarray(to, Math.min(bytes.length, to + granuleBytes))) === zero
    ) {
      to += granuleBytes
    }
    to = Math.min(to, bytes.length)
    const whole = from === 0 && to === bytes.length
    push(from, to, zero && (whole || to - from >= worthBytes))
    from = to
  }
  return runs
}
