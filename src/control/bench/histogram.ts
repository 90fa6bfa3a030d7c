/** Buckets per doubling: a value is known to within 1/32 of itself. */
const STEPS = 32
/** 2^42 ns: more than an hour. */
const DOUBLINGS = 42

/** Counts durations in buckets that grow with them, so that a percentile costs no memory per operation. */
export class LatencyHistogram {
  readonly #counts = new Float64Array(STEPS * (DOUBLINGS + 1))
  #count = 0
  #sumMs = 0
  #minMs = Infinity
  #maxMs = 0

  add(milliseconds: number): void {
    this.#counts[bucketOf(milliseconds * 1e6)]! += 1
    this.#count++
    this.#sumMs += milliseconds
    if (milliseconds < this.#minMs) this.#minMs = milliseconds
    if (milliseconds > this.#maxMs) this.#maxMs = milliseconds
  }

  get count(): number {
    return this.#count
  }

  get meanMs(): number {
    return this.#count > 0 ? this.#sumMs / this.#count : 0
  }

  get minMs(): number {
    return this.#count > 0 ? this.#minMs : 0
  }

  get maxMs(): number {
    return this.#maxMs
  }

  /** The duration that `percent` (0 to 100) of all don't exceed, in ms. */
  percentileMs(percent: number): number {
    const wanted = Math.max(1, Math.ceil((this.#count * percent) / 100))
    let seen = 0
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      seen += this.#counts[bucket]!
      if (seen >= wanted) return Math.min(this.#maxMs, upperEdge(bucket) / 1e6)
    }
    return this.#maxMs
  }
}

/** Below 32 ns a bucket per nanosecond; above, 32 per doubling. */
function bucketOf(nanoseconds: number): number {
  const whole = Math.max(0, Math.floor(nanoseconds))
  if (whole < STEPS) return whole
  const doubling = Math.min(DOUBLINGS - 1, Math.floor(Math.log2(whole)))
  const within = Math.floor(whole / 2 ** (doubling - 5)) - STEPS
  return (doubling - 4) * STEPS + Math.max(0, Math.min(STEPS - 1, within))
}

function upperEdge(bucket: number): number {
  if (bucket < STEPS) return bucket + 1
  const doubling = Math.floor(bucket / STEPS) + 4
  return (STEPS + (bucket % STEPS) + 1) * 2 ** (doubling - 5)
}
