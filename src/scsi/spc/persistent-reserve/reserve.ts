import { invalidFieldInParameterList } from "../../sam/field-error.ts"
import { isHolder, isRegistrantsOnly, isAllRegistrants, reservationFor } from "../../sam/persistent-state.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import {
  checkNoPorts,
  checkPowerLoss,
  checkScope,
  type Decision,
  noEffects,
  ownRegistration,
  reservationConflict,
  type Situation,
  typeIn,
} from "./action.ts"
import { At, type BasicParameters, FlagBit } from "./parameter-list.ts"
import { othersIn } from "./register.ts"

/** RESERVE (SPC-4 §5.13.9). */
export function reserve(situation: Situation, parameters: BasicParameters): Decision {
  const { current, nexus, cdb } = situation
  if (ownRegistration(situation, parameters) === undefined) return reservationConflict
  checkNoPorts(parameters)
  checkScope(cdb)
  const type = typeIn(cdb)
  if (current.reservation === undefined) {
    return { state: { ...current, reservation: reservationFor(type, nexus.name) }, generation: "kept" }
  }
  const same = isHolder(current, nexus.name) && current.reservation.type === type
  return same ? noEffects(situation) : reservationConflict
}

/** RELEASE (SPC-4 §5.13.11.2.2). */
export function release(situation: Situation, parameters: BasicParameters): Decision {
  const { current, nexus, cdb } = situation
  if (ownRegistration(situation, parameters) === undefined) return reservationConflict
  checkNoPorts(parameters)
  checkScope(cdb)
  const { registrations, reservation, activated } = current
  if (reservation === undefined || !isHolder(current, nexus.name)) return noEffects(situation)
  if (reservation.type !== (cdb[2]! & 0x0f)) throw invalidRelease("the reservation is of another type")
  const told = isRegistrantsOnly(reservation.type) || isAllRegistrants(reservation.type)
  return {
    state: { registrations, activated },
    generation: "kept",
    attentions: told ? othersIn(current, nexus.name).map((name) => [name, Asc.reservationsReleased]) : [],
  }
}

/** CLEAR (SPC-4 §5.13.11.2.7). */
export function clear(situation: Situation, parameters: BasicParameters): Decision {
  const { current, nexus } = situation
  if (ownRegistration(situation, parameters) === undefined) return reservationConflict
  checkNoPorts(parameters)
  return {
    state: { registrations: new Map(), activated: current.activated },
    generation: "counted",
    attentions: othersIn(current, nexus.name).map((name) => [name, Asc.reservationsPreempted]),
  }
}

/** REPLACE LOST RESERVATION (SPC-4 §5.13.11.3). */
export function replaceLostReservation(situation: Situation, parameters: BasicParameters): Decision {
  const { nexus, cdb } = situation
  if (!situation.lost) throw invalidRelease("nothing that was reserved has been lost")
  const { key, actionKey, throughPowerLoss } = parameters
  checkNoPorts(parameters)
  checkScope(cdb)
  if (parameters.allTargetPorts) {
    throw invalidFieldInParameterList("ALL_TG_PT is for registering", At.flags, FlagBit.allTargetPorts)
  }
  if (key !== 0n) throw invalidFieldInParameterList("nobody is registered: RESERVATION KEY is 0", At.key)
  if (actionKey === 0n) throw invalidFieldInParameterList("a registration has a key", At.actionKey)
  checkPowerLoss(situation, throughPowerLoss, At.flags)
  const { initiatorPortName, targetPortName, relativeTargetPort } = nexus.identity
  const targetPort = { targetPortName, relativeTargetPort }
  return {
    state: {
      registrations: new Map([[nexus.name, { initiatorPortName, targetPort, key: actionKey }]]),
      reservation: reservationFor(typeIn(cdb), nexus.name),
      activated: throughPowerLoss,
    },
    generation: "zeroed",
  }
}

const invalidRelease = (message: string): SenseError =>
  new SenseError(SenseKey.illegalRequest, Asc.invalidReleaseOfPersistentReservation, message)
