import { UNIT_ATTENTIONS_MAX } from "../../base/limits.ts"
import { Asc } from "../spec/sense.ts"

/** A reset that reaches further says all that a lesser one says (SAM-5 §6.2, hierarchy of reset conditions). */
const RESETS: readonly number[] = [
  Asc.powerOn,
  Asc.powerOnResetOrBusDeviceReset,
  Asc.busDeviceResetFunction,
  Asc.itNexusLoss,
]

/**
 * The unit attention conditions a logical unit has for one I_T nexus (SAM-5 §5.14): additional sense codes, in the
 * order they will be reported. Each is there at most once. A reset comes before everything else, and there is one at
 * most: the one that reaches furthest.
 */
export class UnitAttentions {
  readonly #pending: number[] = []

  get size(): number {
    return this.#pending.length
  }

  /** The next to be reported. */
  get first(): number | undefined {
    return this.#pending[0]
  }

  establish(asc: number): void {
    if (this.#pending.includes(asc)) return
    const rank = RESETS.indexOf(asc)
    if (rank < 0) {
      // A full queue drops the newest: the initiator has plenty to look into already.
      if (this.#pending.length < UNIT_ATTENTIONS_MAX) this.#pending.push(asc)
      return
    }
    const before = this.#pending.length > 0 ? RESETS.indexOf(this.#pending[0]!) : -1
    if (before >= 0 && before < rank) return
    if (before >= 0) this.#pending.shift()
    if (this.#pending.length === UNIT_ATTENTIONS_MAX) this.#pending.pop()
    this.#pending.unshift(asc)
  }

  clear(asc: number): void {
    const at = this.#pending.indexOf(asc)
    if (at >= 0) this.#pending.splice(at, 1)
  }

  /** The same conditions, pending for somebody else. */
  copy(): UnitAttentions {
    const copy = new UnitAttentions()
    copy.#pending.push(...this.#pending)
    return copy
  }

  /** Takes the next to be reported. */
  take(): number | undefined {
    return this.#pending.shift()
  }
}
