import type { Completion } from "../base/completion.ts"
import { FAULT_RULES_MAX } from "../base/limits.ts"
import { type Random, systemRandom } from "../base/random.ts"
import { type BlockDevice, BlockError, type BlockErrorCause } from "./block-device.ts"
import { HeldOperations } from "./held-operations.ts"
import { checkRange, closedError } from "./range.ts"
import { type OperationKind, StackedStore } from "./stacked.ts"

/** What happens to an operation a rule strikes. */
export type FaultEffect =
  /** It fails and nothing of it is done. "write-lost" from a flush also refuses all writes after it, until `heal`. */
  | { readonly kind: "error"; readonly reason: BlockErrorCause }
  /**
   * Its first `bytes` are done, then it fails ("io" unless said otherwise): a torn write, a short read. A flush
   * has no first bytes: it just fails.
   */
  | { readonly kind: "torn"; readonly bytes: number; readonly reason?: BlockErrorCause }
  /** It waits until it is cancelled, the device is closed, or `release` lets it go on. */
  | { readonly kind: "hang" }

/** Which operations fail and how. All conditions that are given must hold. */
export interface FaultRule {
  /** Kinds of operations it looks at; absent: all. */
  readonly operations?: readonly OperationKind[]
  /** Only operations that touch these bytes; a flush never does. */
  readonly range?: { readonly offsetBytes: number; readonly lengthBytes: number }
  /** Matching operations let through first: 2 makes the third the first one struck. */
  readonly skip?: number
  /** Chance that a matching operation is struck, 0 to 1; absent: always. */
  readonly probability?: number
  /** How often it strikes before it is spent; absent: without end. */
  readonly count?: number
  readonly effect: FaultEffect
}

/** A rule in use, with how many operations it matched and how many of them it struck. */
export interface ActiveFaultRule {
  readonly rule: FaultRule
  readonly matched: number
  readonly struck: number
}

class Active implements ActiveFaultRule {
  readonly rule: FaultRule
  matched = 0
  struck = 0

  constructor(rule: FaultRule) {
    this.rule = rule
  }

  strikes(kind: OperationKind, offsetBytes: number, lengthBytes: number, random: Random): boolean {
    const { operations, range, skip = 0, probability = 1, count = Infinity } = this.rule
    if (operations && !operations.includes(kind)) return false
    if (range && !(offsetBytes < range.offsetBytes + range.lengthBytes)) return false
    if (range && !(offsetBytes + lengthBytes > range.offsetBytes)) return false
    if (this.struck >= count) return false
    if (this.matched++ < skip) return false
    if (probability < 1 && random.uint32() / 2 ** 32 >= probability) return false
    this.struck++
    return true
  }
}

/** Another device that fails by rule; the first rule that strikes decides. Rules may change while it is in use. */
export class FaultStore extends StackedStore {
  readonly #random: Random
  readonly #held: HeldOperations
  #rules: Active[] = []
  #lost = false
  #closed = false

  /** Throws BlockError "out-of-range" for more than FAULT_RULES_MAX rules. */
  constructor(below: BlockDevice, rules: readonly FaultRule[] = [], options: { random?: Random } = {}) {
    super(`fault(${below.name})`, below)
    this.#random = options.random ?? systemRandom
    this.#held = new HeldOperations(this.name)
    for (const rule of rules) this.addRule(rule)
  }

  /** The rules, in the order they are asked. */
  get rules(): readonly ActiveFaultRule[] {
    return this.#rules
  }

  /** Operations that hang now. */
  get hanging(): number {
    return this.#held.count
  }

  /** Adds a rule after the others. Returns how to remove it (what hangs by it goes on hanging). */
  addRule(rule: FaultRule): () => void {
    if (this.#rules.length >= FAULT_RULES_MAX)
      throw new BlockError("out-of-range", `${this.name}: more than ${FAULT_RULES_MAX} rules`)
    const active = new Active(rule)
    this.#rules.push(active)
    return () => {
      this.#rules = this.#rules.filter((other) => other !== active)
    }
  }

  /** Lets what hangs go on to the device below. */
  release(): void {
    this.#held.release()
  }

  /** Removes all rules, accepts writes again after a lost one, and lets what hangs go on. */
  heal(): void {
    this.#rules = []
    this.#lost = false
    this.release()
  }

  override read(offsetBytes: number, into: Uint8Array, task?: object): Completion {
    return this.#perform("read", offsetBytes, into.length, task, (bytes) =>
      this.below.read(offsetBytes, into.subarray(0, bytes), task),
    )
  }

  override write(offsetBytes: number, from: Uint8Array, fua: boolean, task?: object): Completion {
    return this.#perform("write", offsetBytes, from.length, task, (bytes) =>
      this.below.write(offsetBytes, from.subarray(0, bytes), fua, task),
    )
  }

  override flush(task?: object): Completion {
    return this.#perform("flush", 0, 0, task, () => this.below.flush(task))
  }

  override discard(offsetBytes: number, lengthBytes: number, task?: object): Completion {
    return this.#perform("discard", offsetBytes, lengthBytes, task, (bytes) =>
      this.below.discard(offsetBytes, bytes, task),
    )
  }

  override writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean, task?: object): Completion {
    return this.#perform("writeZeroes", offsetBytes, lengthBytes, task, (bytes) =>
      this.below.writeZeroes(offsetBytes, bytes, fua, task),
    )
  }

  override cancel(task: object): void {
    this.#held.cancel(task)
    this.below.cancel(task)
  }

  override close(): Promise<void> {
    this.#closed = true
    this.#held.close()
    return this.below.close()
  }

  /** `proceed` does the first so many bytes of the operation on the device below. */
  #perform(
    kind: OperationKind,
    offsetBytes: number,
    lengthBytes: number,
    task: object | undefined,
    proceed: (bytes: number) => Completion,
  ): Completion {
    if (this.#closed) throw closedError(this.name)
    checkRange(this.name, this.sizeBytes, offsetBytes, lengthBytes)
    if (this.#lost && kind !== "read") throw this.#failure("write-lost", kind, offsetBytes)
    const active = this.#rules.find((rule) => rule.strikes(kind, offsetBytes, lengthBytes, this.#random))
    if (active === undefined) return proceed(lengthBytes)
    const { effect } = active.rule
    if (effect.kind === "hang") return this.#held.hold(task, () => proceed(lengthBytes))
    const reason = effect.reason ?? "io"
    if (reason === "write-lost") this.#lost = true
    const failure = this.#failure(reason, kind, offsetBytes)
    const bytes = effect.kind === "torn" ? Math.min(effect.bytes, lengthBytes) : 0
    if (bytes === 0) throw failure
    return failAfter(proceed(bytes), failure)
  }

  #failure(reason: BlockErrorCause, kind: OperationKind, offsetBytes: number): BlockError {
    return new BlockError(reason, `${this.name}: ${kind} failed by rule`, { offsetBytes })
  }
}

async function failAfter(done: Completion, failure: BlockError): Promise<never> {
  await done
  throw failure
}
