import type { Clock } from "../../base/clock.ts"
import { OperationCode, ThirdPartyCopyOut, VariableLength } from "../spec/operation-code.ts"
import { serviceActionOf } from "./command-table.ts"
import type { Task } from "./task.ts"

const READ: readonly number[] = [
  OperationCode.read6,
  OperationCode.read10,
  OperationCode.read12,
  OperationCode.read16,
]
const WRITE: readonly number[] = [
  OperationCode.write6,
  OperationCode.write10,
  OperationCode.write12,
  OperationCode.write16,
  OperationCode.writeAndVerify10,
  OperationCode.writeAndVerify12,
  OperationCode.writeAndVerify16,
  OperationCode.writeAtomic16,
  OperationCode.unmap,
]
const WRITE_32: readonly number[] = [VariableLength.write32, VariableLength.writeAndVerify32]

type Kind = "read" | "write" | "other"

/** Read commands and write commands (SPC-4 table 375), with those it has forgotten or doesn't know yet. */
function kindOf(cdb: Uint8Array): Kind {
  const opcode = cdb[0]!
  const action = serviceActionOf(cdb)
  if (opcode === OperationCode.variableLength) {
    if (action === VariableLength.read32) return "read"
    return WRITE_32.includes(action) ? "write" : "other"
  }
  if (opcode === OperationCode.thirdPartyCopyOut) {
    if (action === ThirdPartyCopyOut.populateToken) return "read"
    return action === ThirdPartyCopyOut.writeUsingToken ? "write" : "other"
  }
  if (READ.includes(opcode)) return "read"
  return WRITE.includes(opcode) ? "write" : "other"
}

/**
 * How long a logical unit is idle, and how long it processes commands, in ms. To look at the clock twice a command is
 * more than a command should cost, so this is only measured from when somebody first asks for it.
 */
export class CommandTimes {
  readonly #clock: Clock
  readonly #enteredMs = new Map<Task, number>()
  /** Tasks in the task sets. */
  #present: number
  #idleSinceMs = 0
  #idleMs = 0
  readonly #processingMs: Record<Kind, number> = { read: 0, write: 0, other: 0 }

  /** `present`: tasks that are in the task sets already; their own time isn't known. */
  constructor(clock: Clock, present: number) {
    this.#clock = clock
    this.#present = present
    this.#idleSinceMs = clock.nowMs()
  }

  /** There was no task, and nothing was processed. */
  get idleMs(): number {
    return this.#idleMs + (this.#present === 0 ? this.#clock.nowMs() - this.#idleSinceMs : 0)
  }

  /** Of read commands that have ended, each from when it was accepted on. */
  get readMs(): number {
    return this.#processingMs.read
  }

  get writeMs(): number {
    return this.#processingMs.write
  }

  entered(task: Task): void {
    const nowMs = this.#clock.nowMs()
    if (this.#present++ === 0) this.#idleMs += nowMs - this.#idleSinceMs
    this.#enteredMs.set(task, nowMs)
  }

  left(task: Task): void {
    const nowMs = this.#clock.nowMs()
    if (--this.#present === 0) this.#idleSinceMs = nowMs
    const enteredMs = this.#enteredMs.get(task)
    if (enteredMs === undefined) return
    this.#enteredMs.delete(task)
    this.#processingMs[kindOf(task.cdb)] += nowMs - enteredMs
  }
}
