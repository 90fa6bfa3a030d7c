import { PersistentType } from "../spec/persistent-type.ts"
import type { TargetPort } from "./nexus.ts"

/** The reservation key an I_T nexus is registered with (SPC-4 §5.13.7). */
export interface Registration {
  readonly initiatorPortName: string
  readonly targetPort: TargetPort
  /** 1 to 2^64 - 1. */
  readonly key: bigint
}

/** A persistent reservation of the whole logical unit. */
export interface PersistentReservation {
  readonly type: PersistentType
  /** The name of the nexus that holds it. Absent for the all registrants types, which every registered nexus holds. */
  readonly holder?: string
}

/**
 * Who is registered with a logical unit, and what is reserved (SPC-4 §5.13): what I_T nexus losses, resets and, if it
 * is activated, losses of power leave alone. It is a value: a PERSISTENT RESERVE OUT puts another in its place.
 */
export interface PersistentState {
  /** By the name of the nexus (see Nexus.name), in the order in which they were registered. */
  readonly registrations: ReadonlyMap<string, Registration>
  /** Its holder is registered; there is none where nobody is. */
  readonly reservation?: PersistentReservation
  /** PTPL_A: it outlives a loss of power (the last APTPL was 1). */
  readonly activated: boolean
}

export const nothingReserved: PersistentState = { registrations: new Map(), activated: false }

const { writeExclusiveAllRegistrants, exclusiveAccessAllRegistrants } = PersistentType
const { writeExclusiveRegistrantsOnly, exclusiveAccessRegistrantsOnly, writeExclusive } = PersistentType

const knownTypes: ReadonlySet<number> = new Set(Object.values(PersistentType))

export const isPersistentType = (type: number): type is PersistentType => knownTypes.has(type)

export const isAllRegistrants = (type: PersistentType): boolean =>
  type === writeExclusiveAllRegistrants || type === exclusiveAccessAllRegistrants

export const isRegistrantsOnly = (type: PersistentType): boolean =>
  type === writeExclusiveRegistrantsOnly || type === exclusiveAccessRegistrantsOnly

/** Others may read. */
export const isWriteExclusive = (type: PersistentType): boolean =>
  type === writeExclusive || type === writeExclusiveRegistrantsOnly || type === writeExclusiveAllRegistrants

export const reservationFor = (type: PersistentType, nexusName: string): PersistentReservation =>
  isAllRegistrants(type) ? { type } : { type, holder: nexusName }

/** Whether a nexus holds the reservation there is. */
export function isHolder({ registrations, reservation }: PersistentState, nexusName: string): boolean {
  if (reservation === undefined) return false
  return isAllRegistrants(reservation.type) ? registrations.has(nexusName) : reservation.holder === nexusName
}

/** Without some registrations; the reservation goes with its holder, or with the last of its holders. */
export function withoutRegistrations(state: PersistentState, names: ReadonlySet<string>): PersistentState {
  const registrations = new Map([...state.registrations].filter(([name]) => !names.has(name)))
  return withRegistrations(state, registrations)
}

/** With other registrations; the reservation stays as far as its holder does. */
export function withRegistrations(
  { reservation, activated }: PersistentState,
  registrations: ReadonlyMap<string, Registration>,
): PersistentState {
  const held =
    reservation !== undefined &&
    (reservation.holder === undefined ? registrations.size > 0 : registrations.has(reservation.holder))
  return held ? { registrations, reservation, activated } : { registrations, activated }
}
