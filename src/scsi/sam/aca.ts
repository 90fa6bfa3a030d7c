import { cdbBytesOf, OperationCode, PersistentReserveOut } from "../spec/operation-code.ts"
import { Status } from "../spec/status.ts"
import type { Command } from "./command.ts"
import type { Nexus } from "./nexus.ts"
import { type Task, TaskAttribute } from "./task.ts"

/**
 * An auto contingent allegiance condition of a task set (SAM-5 §5.9): a command with NACA set ended with CHECK CONDITION.
 * Until it is cleared nothing in the set goes on, but for what its initiator does about it with the ACA attribute.
 */
export interface Aca {
  /** The faulted I_T nexus: whose command it was. */
  readonly nexus: Nexus
  /** The task with the ACA attribute: there is one at a time. */
  task: Task | undefined
}

/** How the execution of a blocked task ended; undefined: well. */
export type Outcome = { readonly error: unknown } | undefined

/** NACA of the CONTROL byte (SAM-5 §5.2). */
export const NACA = 0x04

/** Where the CONTROL byte of a CDB is; -1 for an operation code whose length nobody knows. */
export function controlByteAt(opcode: number, command: Command | undefined): number {
  if (opcode === OperationCode.variableLength) return 1
  return (command?.usage.length ?? cdbBytesOf(opcode)) - 1
}

export function hasNaca(cdb: Uint8Array, command: Command | undefined): boolean {
  const at = controlByteAt(cdb[0]!, command)
  return at > 0 && (cdb[at]! & NACA) !== 0
}

/** PERSISTENT RESERVE OUT with PREEMPT AND ABORT: whose ACA condition it may end shows when it is carried out. */
const isPreemptAndAbort = (cdb: Uint8Array): boolean =>
  cdb[0] === OperationCode.persistentReserveOut && (cdb[1]! & 0x1f) === PersistentReserveOut.preemptAndAbort

/**
 * Whether PREEMPT AND ABORT of the `preempted` nexuses is carried out: an ACA condition doesn't stand in the way of what
 * preempts the faulted nexus (SPC-4 §5.13.11.2.6).
 */
export function mayPreemptDuringAca(
  { nexus, set }: Task,
  preempted: ReadonlySet<string> = new Set(),
): boolean {
  const faulted = set?.aca?.nexus
  return faulted === undefined || faulted === nexus || preempted.has(faulted.name)
}

/**
 * With what a command ends that comes into a task set with an ACA condition (SAM-5 §5.9.3, §5.9.4); undefined: it is
 * carried out at once. `managementOnly`: TMF_ONLY of the control mode page.
 */
export function statusDuringAca(
  task: Task,
  aca: Aca,
  naca: boolean,
  managementOnly: boolean,
): Status | undefined {
  if (task.nexus === aca.nexus) {
    const taken = task.attribute === TaskAttribute.aca && aca.task === undefined && !managementOnly
    return taken ? undefined : Status.acaActive
  }
  if (isPreemptAndAbort(task.cdb)) return undefined
  return naca ? Status.acaActive : Status.busy
}
