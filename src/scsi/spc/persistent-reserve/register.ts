import { invalidFieldInCdb, invalidFieldInParameterList } from "../../sam/field-error.ts"
import { nexusName, type TargetPort } from "../../sam/nexus.ts"
import {
  isAllRegistrants,
  isHolder,
  isRegistrantsOnly,
  type PersistentState,
  type Registration,
  reservationFor,
  withoutRegistrations,
  withRegistrations,
} from "../../sam/persistent-state.ts"
import { Asc } from "../../spec/sense.ts"
import {
  checkNoPorts,
  checkPowerLoss,
  checkRoom,
  type Decision,
  type Effects,
  initiatorPortsOf,
  noEffects,
  ownRegistration,
  reservationConflict,
  type Situation,
} from "./action.ts"
import { At, type BasicParameters, FlagBit, type MoveParameters, transportIdsOf } from "./parameter-list.ts"

/** REGISTER (SPC-4 §5.13.7, table 67). */
export function register(situation: Situation, parameters: BasicParameters): Decision {
  const own = situation.current.registrations.get(situation.nexus.name)
  if (parameters.key !== (own?.key ?? 0n)) return reservationConflict
  if (own !== undefined && parameters.specifiesPorts) {
    throw invalidFieldInParameterList(
      "a nexus that is registered registers itself alone",
      At.flags,
      FlagBit.specifiesPorts,
    )
  }
  return registerPorts(situation, parameters, own, (there) => parameters.key === (there?.key ?? 0n))
}

/** REGISTER AND IGNORE EXISTING KEY (SPC-4 table 68). */
export function registerAndIgnoreExistingKey(situation: Situation, parameters: BasicParameters): Decision {
  checkNoPorts(parameters)
  const own = situation.current.registrations.get(situation.nexus.name)
  return registerPorts(situation, parameters, own, () => true)
}

/**
 * For the nexus's own target port, or with ALL_TG_PT as if the request had come through each of them: where it would
 * have conflicted (`applies` is false) there it does nothing.
 */
function registerPorts(
  situation: Situation,
  parameters: BasicParameters,
  own: Registration | undefined,
  applies: (there: Registration | undefined) => boolean,
): Effects {
  const { current, nexus, targetPorts } = situation
  const { actionKey, throughPowerLoss } = parameters
  checkPowerLoss(situation, throughPowerLoss, At.flags)
  if (own === undefined && actionKey === 0n) return noEffects(situation)
  const ports = parameters.allTargetPorts ? targetPorts : [nexus.identity]
  const { initiatorPortName } = nexus.identity
  const names = ports
    .map((port) => nexusName(initiatorPortName, port))
    .filter((name) => applies(current.registrations.get(name)))
  if (actionKey === 0n) return unregister(situation, new Set(names), throughPowerLoss)
  const registrations = new Map(current.registrations)
  const add = (name: string, port: TargetPort): void => {
    const { targetPortName, relativeTargetPort } = port
    const targetPort = { targetPortName, relativeTargetPort }
    registrations.set(nexusName(name, port), { initiatorPortName: name, targetPort, key: actionKey })
    checkRoom(registrations)
  }
  for (const port of ports) {
    if (names.includes(nexusName(initiatorPortName, port))) add(initiatorPortName, port)
  }
  if (parameters.specifiesPorts) {
    for (const { name, port } of portsSpecified(situation, parameters, ports)) add(name, port)
  }
  return { state: { ...current, registrations, activated: throughPowerLoss }, generation: "counted" }
}

/** What SPEC_I_PT adds, none of it registered yet (SPC-4 table 67 note b). Throws SenseError. */
function* portsSpecified(
  situation: Situation,
  parameters: BasicParameters,
  ports: readonly TargetPort[],
): Generator<{ name: string; port: TargetPort }> {
  for (const { id, at } of transportIdsOf(parameters)) {
    const names = initiatorPortsOf(situation, id)
    if (names.length === 0) throw invalidFieldInParameterList(`nobody knows ${id.initiatorName}`, at)
    for (const name of names) {
      for (const port of ports) {
        if (situation.current.registrations.has(nexusName(name, port))) {
          throw invalidFieldInParameterList(`${name} is registered already`, at)
        }
        yield { name, port }
      }
    }
  }
}

/** SPC-4 §5.13.11.2.3. */
function unregister(
  { current, nexus }: Situation,
  names: ReadonlySet<string>,
  throughPowerLoss: boolean,
): Effects {
  const state = withoutRegistrations(current, names)
  const released = current.reservation !== undefined && state.reservation === undefined
  const told = released && isRegistrantsOnly(current.reservation.type) ? othersIn(state, nexus.name) : []
  return {
    state: { ...state, activated: throughPowerLoss },
    generation: "counted",
    attentions: told.map((name) => [name, Asc.reservationsReleased]),
  }
}

export const othersIn = ({ registrations }: PersistentState, name: string): string[] =>
  [...registrations.keys()].filter((other) => other !== name)

/** REGISTER AND MOVE (SPC-4 §5.13.8, table 70). */
export function registerAndMove(situation: Situation, parameters: MoveParameters): Decision {
  const { current, nexus } = situation
  const { reservation } = current
  if (ownRegistration(situation, parameters) === undefined) return reservationConflict
  if (reservation === undefined) throw invalidFieldInCdb("there is no reservation to move", 1, 4)
  if (!isHolder(current, nexus.name) || isAllRegistrants(reservation.type)) return reservationConflict
  const { actionKey, throughPowerLoss } = parameters
  if (actionKey === 0n) throw invalidFieldInParameterList("a registration has a key", At.actionKey)
  checkPowerLoss(situation, throughPowerLoss, At.moveFlags)
  const { name, registration } = destination(situation, parameters)
  const registrations = new Map(current.registrations).set(name, registration)
  if (parameters.unregister) registrations.delete(nexus.name)
  checkRoom(registrations)
  const moved = { ...current, reservation: reservationFor(reservation.type, name) }
  return {
    state: { ...withRegistrations(moved, registrations), activated: throughPowerLoss },
    generation: "counted",
  }
}

/** The nexus the reservation moves to. Throws SenseError. */
function destination(
  situation: Situation,
  { transportId, relativeTargetPort, actionKey }: MoveParameters,
): { name: string; registration: Registration } {
  const port = situation.targetPorts.find((known) => known.relativeTargetPort === relativeTargetPort)
  if (port === undefined) {
    throw invalidFieldInParameterList(`there is no target port ${relativeTargetPort}`, At.relativeTargetPort)
  }
  const [initiatorPortName, ...more] = initiatorPortsOf(situation, transportId)
  if (initiatorPortName === undefined || more.length > 0) {
    throw invalidFieldInParameterList(
      `${transportId.initiatorName} doesn't name one initiator port`,
      At.moveId,
    )
  }
  if (initiatorPortName === situation.nexus.identity.initiatorPortName) {
    throw invalidFieldInParameterList("the reservation moves to another initiator port", At.moveId)
  }
  const { targetPortName } = port
  const targetPort = { targetPortName, relativeTargetPort }
  return {
    name: nexusName(initiatorPortName, port),
    registration: { initiatorPortName, targetPort, key: actionKey },
  }
}
