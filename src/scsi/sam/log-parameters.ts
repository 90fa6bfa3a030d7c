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
  /** ETC and TMC: what the cumulative value is compared with the threshold for; absent: it isn't. */
  criterion: ThresholdCriterion | undefined
  /** The cumulative value when it was last compared. */
  compared: number
}

/** TMC (SPC-4 table 351). */
export const ThresholdCriterion = { everyUpdate: 0, equal: 1, notEqual: 2, greater: 3 } as const
export type ThresholdCriterion = (typeof ThresholdCriterion)[keyof typeof ThresholdCriterion]

/**
 * The data counter parameters of a logical unit's log pages as LOG SENSE shows them. Counters themselves only rise, so
 * that to count is an increment; here is what is subtracted from them.
 */
export class LogParameters {
  readonly #unit: LogicalUnit
  readonly #states = new Map<CounterParameter, State>()
  /** How many parameters are compared with their thresholds: if any are, the task sets are watched, and `exceeded` asked. */
  comparing = 0

  constructor(unit: LogicalUnit) {
    this.#unit = unit
  }

  cumulative(parameter: CounterParameter): Uint8Array {
    return encode(parameter.counters, this.#values(parameter))
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

  criterion(parameter: CounterParameter): ThresholdCriterion | undefined {
    return this.#stateOf(parameter).criterion
  }

  /** Of a bounded counter: for what it is compared with its threshold from now on, whenever it is updated. */
  setCriterion(parameter: CounterParameter, criterion: ThresholdCriterion | undefined): void {
    const state = this.#stateOf(parameter)
    this.comparing += (criterion === undefined ? 0 : 1) - (state.criterion === undefined ? 0 : 1)
    state.criterion = criterion
    state.compared = this.#values(parameter)[0]!
    this.#unit.arrangeTaskSets()
  }

  /** Whether a value that was updated since the last call meets the criterion it is compared for. */
  exceeded(): boolean {
    let met = false
    for (const [parameter, state] of this.#states) {
      if (state.criterion === undefined) continue
      const value = this.#values(parameter)[0]!
      if (value === state.compared) continue
      state.compared = value
      met ||= meets(value, decode(this.threshold(parameter)), state.criterion)
    }
    return met
  }

  /** `value` undefined: the default. */
  setThreshold(parameter: CounterParameter, value: Uint8Array | undefined): void {
    this.#stateOf(parameter).threshold = value
  }

  /** All values of all pages are the defaults: a logical unit reset without saved values (SPC-4 §6.11). */
  resetAll(pages: readonly LogPage[]): void {
    this.#states.clear()
    this.comparing = 0
    for (const { counters = [] } of pages) for (const parameter of counters) this.reset(parameter)
  }

  #values(parameter: CounterParameter): readonly number[] {
    const { bases, frozen } = this.#stateOf(parameter)
    return frozen ?? this.#counted(parameter).map((count, i) => count - bases[i]!)
  }

  #counted({ counters }: CounterParameter): number[] {
    return counters.map((counter) => counter.count(this.#unit))
  }

  #stateOf(parameter: CounterParameter): State {
    let state = this.#states.get(parameter)
    if (state === undefined) {
      const bases = parameter.counters.map(() => 0)
      state = { bases, frozen: undefined, threshold: undefined, criterion: undefined, compared: 0 }
      this.#states.set(parameter, state)
    }
    return state
  }
}

function meets(value: number, threshold: number, criterion: ThresholdCriterion): boolean {
  switch (criterion) {
    case ThresholdCriterion.everyUpdate:
      return true
    case ThresholdCriterion.equal:
      return value === threshold
    case ThresholdCriterion.notEqual:
      return value !== threshold
    case ThresholdCriterion.greater:
      return value > threshold
  }
}

/** Beyond 2^53 it is rounded: no counter gets there. */
const decode = (bytes: Uint8Array): number => bytes.reduce((value, byte) => value * 256 + byte, 0)

function encode(counters: readonly LogCounter[], values: readonly number[]): Uint8Array {
  const bytes: number[] = []
  counters.forEach((counter, i) => {
    for (let place = counter.bytes - 1; place >= 0; place--) {
      bytes.push(Math.floor(values[i]! / 256 ** place) & 0xff)
    }
  })
  return Uint8Array.from(bytes)
}
