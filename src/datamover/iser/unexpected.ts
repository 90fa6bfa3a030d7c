import { serialAfter } from "../../wire/serial.ts"

interface Outstanding {
  readonly tag: number
  readonly number: number
}

interface Held {
  readonly answered: boolean
  readonly send: () => void
}

/**
 * PDUs nobody asked for that the peer may not have taken yet, and those held back because there is no room
 * for more of them (RFC 7145 §8.1.1, §8.1.2, MaxOutstandingUnexpectedPDUs): over RDMA a message that finds no
 * receive ends the connection. The last place is kept for one that gets an answer, as the answer makes room.
 */
export class UnexpectedPdus {
  /** Infinity: no limit. */
  limit = Infinity
  readonly #outstanding: Outstanding[] = []
  readonly #held: Held[] = []

  /** Whether one may be sent now; `answered`: it is one that gets an answer. */
  hasRoom(answered: boolean): boolean {
    return this.#outstanding.length < (answered ? this.limit : Math.max(1, this.limit - 1))
  }

  /**
   * One is sent. `tag` names it in its answer; with a running number beyond `number` the peer says that it
   * has taken it.
   */
  sent(tag: number, number: number): void {
    if (this.limit !== Infinity) this.#outstanding.push({ tag, number })
  }

  /** `send` is called when there is room. */
  hold(answered: boolean, send: () => void): void {
    this.#held.push({ answered, send })
  }

  get heldCount(): number {
    return this.#held.length
  }

  /** Whether any word of the peer matters. */
  get any(): boolean {
    return this.#outstanding.length > 0
  }

  /** The peer has answered `tag`: it has taken that, and all that was sent before. */
  answered(tag: number): void {
    const at = this.#outstanding.findIndex((one) => one.tag === tag)
    if (at >= 0) this.#retire(at + 1)
  }

  /** The peer says that it has taken all before `next`. */
  acknowledged(next: number): void {
    let count = 0
    while (count < this.#outstanding.length && serialAfter(next, this.#outstanding[count]!.number)) count++
    if (count > 0) this.#retire(count)
  }

  #retire(count: number): void {
    this.#outstanding.splice(0, count)
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (!this.hasRoom(first.answered)) return
      this.#held.shift()
      first.send()
    }
  }

  clear(): void {
    this.#outstanding.length = 0
    this.#held.length = 0
  }
}
