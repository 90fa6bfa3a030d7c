/** Which parts of a buffer are filled, when they may come in any order. Parts that touch are joined. */
export class IntervalSet {
  /** Start and end of each part, alternating, rising. */
  readonly #edges: number[] = []
  filledBytes = 0

  /** Adds [start, end). False, and nothing added: a part of it is filled already. */
  add(start: number, end: number): boolean {
    const edges = this.#edges
    let i = 0
    while (i < edges.length && edges[i + 1]! < start) i += 2
    // edges[i], edges[i + 1] is the first part that ends at or behind start.
    const touchesBefore = i < edges.length && edges[i + 1] === start
    const next = touchesBefore ? i + 2 : i
    if (next < edges.length && edges[next]! < end) return false
    const touchesAfter = next < edges.length && edges[next] === end
    if (touchesBefore && touchesAfter) edges.splice(i + 1, 2)
    else if (touchesBefore) edges[i + 1] = end
    else if (touchesAfter) edges[next] = start
    else edges.splice(next, 0, start, end)
    this.filledBytes += end - start
    return true
  }
}
