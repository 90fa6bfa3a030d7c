import { PERSISTENT_REGISTRATIONS_MAX } from "../../../base/limits.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../../sam/field-error.ts"
import type { Nexus, TargetPort } from "../../sam/nexus.ts"
import { isPersistentType, type PersistentState, type Registration } from "../../sam/persistent-state.ts"
import type { PersistentChange } from "../../sam/reservation.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import type { PersistentType } from "../../spec/persistent-type.ts"
import { At, type BasicParameters, FlagBit } from "./parameter-list.ts"
import type { TransportId } from "./transport-id.ts"

/** What a service action of PERSISTENT RESERVE OUT looks at, besides its parameter list. */
export interface Situation {
  readonly current: PersistentState
  /** What was reserved isn't known any more. */
  readonly lost: boolean
  readonly nexus: Nexus
  readonly cdb: Uint8Array
  /** APTPL may be 1. */
  readonly canOutlivePowerLoss: boolean
  /** Of the target device the nexus belongs to; its own is among them. */
  readonly targetPorts: readonly TargetPort[]
  /** Names of the initiator ports the unit has to do with. */
  readonly initiatorPorts: readonly string[]
}

/** What it decides. Nothing happens before all of it is known, and nothing of it alone. */
export interface Effects extends PersistentChange {
  /** Unit attentions for nexuses by name, one additional sense code after the other. */
  readonly attentions?: readonly (readonly [nexusName: string, asc: number])[]
  /** Names of nexuses whose registration or reservation is preempted. */
  readonly preempted?: ReadonlySet<string>
}

export const reservationConflict = "RESERVATION CONFLICT"
export type Decision = Effects | typeof reservationConflict

/** GOOD, and nothing happens. */
export const noEffects = ({ current }: Situation): Effects => ({ state: current, generation: "kept" })

/** The registration of the nexus, if the list has the key it is registered with. */
export function ownRegistration(
  { current, nexus }: Situation,
  { key }: { readonly key: bigint },
): Registration | undefined {
  const own = current.registrations.get(nexus.name)
  return own?.key === key ? own : undefined
}

/** The type in the CDB. Throws SenseError INVALID FIELD IN CDB where there is none such. */
export function typeIn(cdb: Uint8Array): PersistentType {
  const type = cdb[2]! & 0x0f
  if (!isPersistentType(type))
    throw invalidFieldInCdb(`there is no persistent reservation of type ${type}`, 2, 3)
  return type
}

/** Throws SenseError INVALID FIELD IN CDB for a scope other than LU_SCOPE. */
export function checkScope(cdb: Uint8Array): void {
  if (cdb[2]! >> 4 !== 0) throw invalidFieldInCdb("the scope is the logical unit", 2, 7)
}

/** SPEC_I_PT is for REGISTER (SPC-4 table 216). Throws SenseError. */
export function checkNoPorts({ specifiesPorts }: BasicParameters): void {
  if (!specifiesPorts) return
  throw invalidFieldInParameterList("only REGISTER takes SPEC_I_PT", At.flags, FlagBit.specifiesPorts)
}

/** Throws SenseError INVALID FIELD IN PARAMETER LIST where APTPL can't be done. `at`: its byte. */
export function checkPowerLoss(situation: Situation, throughPowerLoss: boolean, at: number): void {
  if (!throughPowerLoss || situation.canOutlivePowerLoss) return
  throw invalidFieldInParameterList("nothing outlives a loss of power here", at, FlagBit.throughPowerLoss)
}

/** Throws SenseError INSUFFICIENT REGISTRATION RESOURCES. */
export function checkRoom(registrations: ReadonlyMap<string, Registration>): void {
  if (registrations.size <= PERSISTENT_REGISTRATIONS_MAX) return
  throw new SenseError(
    SenseKey.illegalRequest,
    Asc.insufficientRegistrationResources,
    `a unit keeps at most ${PERSISTENT_REGISTRATIONS_MAX} registrations`,
  )
}

/** The initiator ports a TransportID means: that of its name, or those known of its device (SPC-4 §7.6.4.6). */
export function initiatorPortsOf({ initiatorPorts }: Situation, id: TransportId): string[] {
  if (id.initiatorPortName !== undefined) return [id.initiatorPortName]
  const known = initiatorPorts.filter((name) => name.startsWith(`${id.initiatorName},i,0x`))
  return [...new Set(known)]
}
