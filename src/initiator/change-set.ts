/** A command that changes blocks, while it is under way. */
export interface Change {
  /** First block, and the first behind the last. */
  readonly from: number
  readonly to: number
  /** Its place in the set. */
  changeIndex: number
  /** Another change met it: to carry it out again later could undo that one. */
  overlapped(): void
}

/**
 * The changes under way to one logical unit. A write whose connection is lost before its answer may have been carried
 * out; to send it again is right only when nothing else has been written there since. So once two changes under way
 * overlap, neither is replayed.
 */
export class ChangeSet {
  readonly #changes: Change[] = []

  add(change: Change): void {
    const { from, to } = change
    for (const other of this.#changes) {
      if (from < other.to && other.from < to) {
        other.overlapped()
        change.overlapped()
      }
    }
    change.changeIndex = this.#changes.length
    this.#changes.push(change)
  }

  delete(change: Change): void {
    const last = this.#changes.pop()!
    if (last === change) return
    this.#changes[change.changeIndex] = last
    last.changeIndex = change.changeIndex
  }

  get size(): number {
    return this.#changes.length
  }
}
