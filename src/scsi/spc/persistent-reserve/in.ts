import type { Completion } from "../../../base/completion.ts"
import { putU16, putU32, u16 } from "../../cdb/fields.ts"
import type { LogicalUnit } from "../../sam/logical-unit.ts"
import { sendParameterData } from "../../sam/parameter-data.ts"
import { isHolder, type PersistentState } from "../../sam/persistent-state.ts"
import type { Reservation } from "../../sam/reservation.ts"
import type { Task } from "../../sam/task.ts"
import { encodeTransportId } from "./transport-id.ts"

const HEADER_BYTES = 8
const KEY_BYTES = 8
const RESERVATION_BYTES = 16
const STATUS_BYTES = 24
const CAPABILITIES_BYTES = 8

/** Parameter data of the first service actions: PRGENERATION, and the length of what follows. */
function headed({ generation }: Reservation, bytes: number): { data: Uint8Array; view: DataView } {
  const data = new Uint8Array(HEADER_BYTES + bytes)
  putU32(data, 0, generation)
  putU32(data, 4, bytes)
  return { data, view: new DataView(data.buffer) }
}

/** READ KEYS (SPC-4 §6.15.2). */
export function readKeys(reservation: Reservation): Uint8Array {
  const registrations = [...reservation.persistent.registrations.values()]
  const { data, view } = headed(reservation, registrations.length * KEY_BYTES)
  registrations.forEach(({ key }, i) => view.setBigUint64(HEADER_BYTES + i * KEY_BYTES, key))
  return data
}

/** READ RESERVATION (SPC-4 §6.15.3): with the key 0 where all registrants hold it. */
export function readReservation(reservation: Reservation): Uint8Array {
  const { reservation: held, registrations } = reservation.persistent
  if (held === undefined) return headed(reservation, 0).data
  const { data, view } = headed(reservation, RESERVATION_BYTES)
  if (held.holder !== undefined) view.setBigUint64(HEADER_BYTES, registrations.get(held.holder)!.key)
  data[21] = held.type
  return data
}

/** RLR_C, CRH, SIP_C, ATP_C. */
const CAPABILITIES = 0x80 | 0x10 | 0x08 | 0x04
const PTPL_C = 0x01
/** TMV; ALLOW COMMANDS 100b: what table 65 allows is allowed (SPC-4 table 208). */
const TYPES_AND_COMMANDS = 0x80 | 0x40
const PTPL_A = 0x01
/** All six types (SPC-4 table 209). */
const TYPE_MASK = 0xea01

/** REPORT CAPABILITIES (SPC-4 §6.15.4). */
export function reportCapabilities(reservation: Reservation): Uint8Array {
  const data = new Uint8Array(CAPABILITIES_BYTES)
  putU16(data, 0, data.length)
  data[2] = CAPABILITIES | (reservation.canOutlivePowerLoss ? PTPL_C : 0)
  data[3] = TYPES_AND_COMMANDS | (reservation.persistent.activated ? PTPL_A : 0)
  putU16(data, 4, TYPE_MASK)
  return data
}

const R_HOLDER = 0x01

/** READ FULL STATUS (SPC-4 §6.15.5): a descriptor for each nexus; ALL_TG_PT is never set. */
export function readFullStatus(reservation: Reservation): Uint8Array {
  const { persistent } = reservation
  const descriptors = [...persistent.registrations.keys()].map((name) => statusOf(persistent, name))
  const { data } = headed(
    reservation,
    descriptors.reduce((sum, descriptor) => sum + descriptor.length, 0),
  )
  let at = HEADER_BYTES
  for (const descriptor of descriptors) {
    data.set(descriptor, at)
    at += descriptor.length
  }
  return data
}

function statusOf(state: PersistentState, name: string): Uint8Array {
  const { key, initiatorPortName, targetPort } = state.registrations.get(name)!
  const transportId = encodeTransportId(initiatorPortName)
  const data = new Uint8Array(STATUS_BYTES + transportId.length)
  new DataView(data.buffer).setBigUint64(0, key)
  if (isHolder(state, name)) {
    data[12] = R_HOLDER
    data[13] = state.reservation!.type
  }
  putU16(data, 18, targetPort.relativeTargetPort)
  putU32(data, 20, transportId.length)
  data.set(transportId, STATUS_BYTES)
  return data
}

/** PERSISTENT RESERVE IN of the service action that `build` is. */
export const persistentReserveIn =
  (build: (reservation: Reservation) => Uint8Array) =>
  (task: Task, unit: LogicalUnit): Completion =>
    sendParameterData(task, build(unit.reservation), u16(task.cdb, 7))
