import type { CounterParameter, LogCounter, LogPage } from "./log-page.ts"
import type { LogicalUnit } from "./logical-unit.ts"

/** What LOG SELECT has made of a data counter parameter. */
interface State {
  /** Of each counter: what it had counted when it was last reset. */
  bases: readonly number[]
  /** DU: the values that stand still. */
  frozen: readonly number[] | undefined
  /** Absent: the default. */
  threshold: Uint8Array | undefined
}

/**
 * The data counter parameters of a logical unit's log pages as LOG SENSE shows them. Counters themselves only rise, so
 * that to count is an increment; here is what is subtracted from them.
 */
export class LogParameters {
  readonly #unit: LogicalUnit
  readonly #states = new Map<CounterParameter, State>()

  constructor(unit: LogicalUnit) {
    this.#unit = unit
  }

  cumulative(parameter: CounterParameter): Uint8Array {
    const { bases, frozen } = this.#stateOf(parameter)
    const values = frozen ?? this.#counted(parameter).map((count, i) => count - bases[i]!)
    return encode(parameter.counters, values)
  }

  /** DU. */
  isFrozen(parameter: CounterParameter): boolean {
    return this.#stateOf(parameter).frozen !== undefined
  }

  threshold(parameter: CounterParameter): Uint8Array {
    return this.#stateOf(parameter).threshold ?? this.defaultThreshold(parameter)
  }

  /** The largest value there is. */
  defaultThreshold({ counters }: CounterParameter): Uint8Array {
    return new Uint8Array(counters.reduce((sum, { bytes }) => sum + bytes, 0)).fill(0xff)
  }

  /** The cumulative values to 0. */
  reset(parameter: CounterParameter): void {
    const state = this.#stateOf(parameter)
    state.bases = this.#counted(parameter)
    if (state.frozen) state.frozen = state.frozen.map(() => 0)
  }

  freeze(parameter: CounterParameter, still: boolean): void {
    const state = this.#stateOf(parameter)
    if (still === (state.frozen !== undefined)) return
    const counted = this.#counted(parameter)
    if (still) {
      state.frozen = counted.map((count, i) => count - state.bases[i]!)
    } else {
      state.bases = counted.map((count, i) => count - state.frozen![i]!)
      state.frozen = undefined
    }
  }

  /** `value` undefined: the default. */
  setThreshold(parameter: CounterParameter, value: Uint8Array | undefined): void {
    this.#stateOf(parameter).threshold = value
  }

  /** All values of all pages are the defaults: a logical unit reset without saved values (SPC-4 §6.11). */
  resetAll(pages: readonly LogPage[]): void {
    this.#states.clear()
    for (const { counters = [] } of pages) for (const parameter of counters) this.reset(parameter)
  }

  #counted({ counters }: CounterParameter): number[] {
    return counters.map((counter) => counter.count(this.#unit))
  }

  #stateOf(parameter: CounterParameter): State {
    let state = this.#states.get(parameter)
    if (state === undefined) {
      state = { bases: parameter.counters.map(() => 0), frozen: undefined, threshold: undefined }
      this.#states.set(parameter, state)
    }
    return state
  }
}

function encode(counters: readonly LogCounter[], values: readonly number[]): Uint8Array {
  const bytes: number[] = []
  counters.forEach((counter, i) => {
    for (let place = counter.bytes - 1; place >= 0; place--) {
      bytes.push(Math.floor(values[i]! / 256 ** place) & 0xff)
    }
  })
  return Uint8Array.from(bytes)
}
