import { PERSISTENT_RESERVE_LIST_BYTES_MAX } from "../../../base/limits.ts"
import { u32 } from "../../cdb/fields.ts"
import { hasNaca, mayPreemptDuringAca } from "../../sam/aca.ts"
import type { LogicalUnit } from "../../sam/logical-unit.ts"
import { receiveParameterList } from "../../sam/parameter-data.ts"
import type { Task } from "../../sam/task.ts"
import { StatusError } from "../../sam/task-failures.ts"
import { Status } from "../../spec/status.ts"
import { type Decision, type Effects, reservationConflict, type Situation } from "./action.ts"

/** A service action of PERSISTENT RESERVE OUT. */
export interface OutAction<Parameters> {
  /** Reads the parameter list. Throws SenseError. */
  readonly parse: (list: Uint8Array) => Parameters
  /** What it comes to. Throws SenseError. */
  readonly decide: (situation: Situation, parameters: Parameters) => Decision
  /** PREEMPT AND ABORT: the commands of those preempted are aborted. */
  readonly aborts?: true
}

/**
 * PERSISTENT RESERVE OUT (SPC-4 §6.16): one at a time, each as a whole. With PREEMPT AND ABORT the turn is over when the
 * commands are aborted; only the answer waits until none of them reaches the medium any more. A command that was aborted
 * before its turn does nothing: so two that preempt each other never wait for each other.
 */
export const persistentReserveOut =
  <Parameters>(action: OutAction<Parameters>) =>
  async (task: Task, unit: LogicalUnit): Promise<void> => {
    const list = await receiveParameterList(task, u32(task.cdb, 5), PERSISTENT_RESERVE_LIST_BYTES_MAX)
    const parameters = action.parse(list)
    let aborted: Promise<unknown> | undefined
    await unit.reservation.turns.take(async () => {
      if (task.state === "aborted") return
      const decision = action.decide(situationOf(task, unit), parameters)
      if (decision === reservationConflict) throw conflict()
      if (action.aborts && !mayPreemptDuringAca(task, decision.preempted)) {
        const status = hasNaca(task.cdb, undefined) ? Status.acaActive : Status.busy
        throw new StatusError(status, "the ACA condition is of a nexus that isn't preempted")
      }
      await unit.reservation.replace(decision, () => {
        tell(task, unit, decision)
        if (action.aborts) aborted = abortPreempted(task, unit, decision.preempted ?? new Set())
      })
    })
    await aborted
  }

const conflict = (): StatusError =>
  new StatusError(Status.reservationConflict, "the nexus isn't registered, or not with this key")

function situationOf({ nexus, cdb }: Task, { reservation, nexuses }: LogicalUnit): Situation {
  const current = reservation.persistent
  const registered = [...current.registrations.values()]
  return {
    current,
    lost: reservation.lost,
    nexus,
    cdb,
    canOutlivePowerLoss: reservation.canOutlivePowerLoss,
    targetPorts: nexus.inventory?.targetPorts() ?? [nexus.identity],
    initiatorPorts: [
      ...[...nexuses].map(({ identity }) => identity.initiatorPortName),
      ...registered.map(({ initiatorPortName }) => initiatorPortName),
    ],
  }
}

function tell({ nexus }: Task, unit: LogicalUnit, { attentions = [], preempted }: Effects): void {
  const present = new Map([...unit.nexuses].map((each) => [each.name, each]))
  for (const [name, asc] of attentions) {
    const told = present.get(name)
    if (told !== undefined) unit.establishUnitAttentionFor(told, asc)
  }
  if (preempted === undefined) return
  const { initiatorName, targetPortName } = nexus.identity
  const fields = {
    initiator: initiatorName,
    targetPort: targetPortName,
    preempted: [...preempted].join("; "),
  }
  unit.log.info(fields, "persistent reservation or registrations preempted")
}

/**
 * SPC-4 §5.13.11.2.6: also those of nexuses that are gone, as long as they may reach the medium, and what commands at
 * other units do here.
 */
function abortPreempted(task: Task, unit: LogicalUnit, preempted: ReadonlySet<string>): Promise<unknown> {
  const nexuses = [...unit.nexuses].filter(({ name }) => preempted.has(name))
  for (const nexus of nexuses) unit.preventingRemoval.delete(nexus)
  const tasks = unit.allTasks().filter((other) => other !== task && preempted.has(other.nexus.name))
  const cleared = unit.clearTasks(tasks, task.nexus)
  const aca = nexuses.map((nexus) => unit.clearAca(nexus)) // SAM-5 §5.9.5
  const ended = Promise.all([cleared, ...aca, ...nexuses.map((nexus) => unit.guests.evict(nexus))])
  const { inventory } = task.nexus
  if (inventory !== undefined) return inventory.tasksEnded(unit, ended)
  unit.dropUnanswered()
  return ended
}
