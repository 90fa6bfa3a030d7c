import { invalidFieldInParameterList } from "../../sam/field-error.ts"
import {
  isAllRegistrants,
  type PersistentState,
  reservationFor,
  withoutRegistrations,
} from "../../sam/persistent-state.ts"
import { Asc } from "../../spec/sense.ts"
import {
  checkNoPorts,
  checkScope,
  type Decision,
  ownRegistration,
  reservationConflict,
  type Situation,
  typeIn,
} from "./action.ts"
import { At, type BasicParameters } from "./parameter-list.ts"
import { othersIn } from "./register.ts"

/** PREEMPT, and PREEMPT AND ABORT as far as it is the same (SPC-4 §5.13.11.2.4, table 72, figure 9). */
export function preempt(situation: Situation, parameters: BasicParameters): Decision {
  const { current, cdb } = situation
  const { actionKey } = parameters
  if (ownRegistration(situation, parameters) === undefined) return reservationConflict
  checkNoPorts(parameters)
  checkScope(cdb)
  const { reservation } = current
  const sharedByAll = reservation !== undefined && isAllRegistrants(reservation.type)
  if (reservation !== undefined && !sharedByAll && actionKey === 0n) {
    throw invalidFieldInParameterList("nobody is registered with the key 0", At.actionKey)
  }
  const everyone = sharedByAll && actionKey === 0n
  const preempted = new Set<string>()
  for (const [name, { key }] of current.registrations) if (everyone || key === actionKey) preempted.add(name)
  if (preempted.size === 0) return reservationConflict
  return everyone || isHeldByOneOf(current, preempted)
    ? preemptReservation(situation, preempted)
    : removeRegistrations(situation, preempted)
}

const isHeldByOneOf = ({ reservation }: PersistentState, names: ReadonlySet<string>): boolean =>
  reservation?.holder !== undefined && names.has(reservation.holder)

/** SPC-4 §5.13.11.2.4.3: the nexus takes the reservation over, and stays registered also if it preempts itself. */
function preemptReservation({ current, nexus, cdb }: Situation, preempted: ReadonlySet<string>): Decision {
  const type = typeIn(cdb)
  const removed = new Set(preempted)
  removed.delete(nexus.name)
  const { registrations, activated } = withoutRegistrations(current, removed)
  const state = { registrations, reservation: reservationFor(type, nexus.name), activated }
  const changed = type !== current.reservation?.type
  return {
    state,
    generation: "counted",
    preempted,
    attentions: [
      ...told(removed, Asc.registrationsPreempted),
      ...told(changed ? othersIn(state, nexus.name) : [], Asc.reservationsReleased),
    ],
  }
}

/** SPC-4 §5.13.11.2.5: the reservation stays with whoever holds it. The nexus may remove itself, unheard. */
function removeRegistrations({ current, nexus }: Situation, preempted: ReadonlySet<string>): Decision {
  const others = [...preempted].filter((name) => name !== nexus.name)
  return {
    state: withoutRegistrations(current, preempted),
    generation: "counted",
    preempted,
    attentions: told(others, Asc.registrationsPreempted),
  }
}

const told = (names: Iterable<string>, asc: number): [string, number][] =>
  [...names].map((name) => [name, asc])
