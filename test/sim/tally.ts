/** What a run has seen, for the report. */
export class Tally {
  readonly counts = new Map<string, number>()

  add(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  get text(): string {
    const sorted = [...this.counts].toSorted(([a], [b]) => (a < b ? -1 : 1))
    return sorted.map(([what, count]) => `${what}: ${count}`).join(", ")
  }

  merge(other: Tally): void {
    for (const [what, count] of other.counts) this.counts.set(what, (this.counts.get(what) ?? 0) + count)
  }
}
