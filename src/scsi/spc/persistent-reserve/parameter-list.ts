import { u16, u32 } from "../../cdb/fields.ts"
import { invalidFieldInParameterList } from "../../sam/field-error.ts"
import { parameterListLengthError } from "../../sam/parameter-data.ts"
import { decodeTransportId, type TransportId } from "./transport-id.ts"

const BASIC_BYTES = 24
const TRANSPORT_IDS_AT = 28
const SPEC_I_PT = 0x08
const ALL_TG_PT = 0x04
const APTPL = 0x01
const UNREG = 0x02
const TRANSPORT_ID_BYTES_MIN = 24

interface Keys {
  /** RESERVATION KEY. */
  readonly key: bigint
  /** SERVICE ACTION RESERVATION KEY. */
  readonly actionKey: bigint
  /** APTPL. */
  readonly throughPowerLoss: boolean
}

/** What the parameter list of a PERSISTENT RESERVE OUT says (SPC-4 §6.16.3). Obsolete fields are passed over. */
export interface BasicParameters extends Keys {
  /** ALL_TG_PT. */
  readonly allTargetPorts: boolean
  /** SPEC_I_PT. */
  readonly specifiesPorts: boolean
  /** The list itself, for its TransportIDs. */
  readonly list: Uint8Array
}

/** The same of REGISTER AND MOVE (SPC-4 §6.16.4). */
export interface MoveParameters extends Keys {
  /** UNREG. */
  readonly unregister: boolean
  readonly relativeTargetPort: number
  readonly transportId: TransportId
}

/** Where the fields are that a refusal points at. */
export const At = {
  key: 0,
  actionKey: 8,
  flags: 20,
  moveFlags: 17,
  relativeTargetPort: 18,
  moveId: 24,
} as const
export const FlagBit = { specifiesPorts: 3, allTargetPorts: 2, throughPowerLoss: 0 } as const

const keyAt = (list: Uint8Array, at: number): bigint =>
  (BigInt(u32(list, at)) << 32n) | BigInt(u32(list, at + 4))

/** Throws SenseError PARAMETER LIST LENGTH ERROR. */
export function basicParameters(list: Uint8Array): BasicParameters {
  if (list.length < BASIC_BYTES) throw parameterListLengthError("the parameter list has 24 bytes at least")
  const flags = list[At.flags]!
  const specifiesPorts = (flags & SPEC_I_PT) !== 0
  if (!specifiesPorts && list.length !== BASIC_BYTES) {
    throw parameterListLengthError("without SPEC_I_PT the parameter list has 24 bytes")
  }
  return {
    key: keyAt(list, At.key),
    actionKey: keyAt(list, At.actionKey),
    throughPowerLoss: (flags & APTPL) !== 0,
    allTargetPorts: (flags & ALL_TG_PT) !== 0,
    specifiesPorts,
    list,
  }
}

/** The TransportIDs of a list with SPEC_I_PT, and where they are. Throws SenseError. */
export function* transportIdsOf({ list }: BasicParameters): Generator<{ id: TransportId; at: number }> {
  if (list.length < TRANSPORT_IDS_AT) throw parameterListLengthError("the list ends before its TransportIDs")
  const end = TRANSPORT_IDS_AT + u32(list, BASIC_BYTES)
  if (end > list.length) throw parameterListLengthError("the list ends within its TransportIDs")
  for (let at = TRANSPORT_IDS_AT; at < end; ) {
    const id = decodeTransportId(list, at, end)
    yield { id, at }
    at += id.bytes
  }
}

/** Throws SenseError. */
export function moveParameters(list: Uint8Array): MoveParameters {
  if (list.length < At.moveId) throw parameterListLengthError("the parameter list has 24 bytes at least")
  const idBytes = u32(list, 20)
  if (idBytes < TRANSPORT_ID_BYTES_MIN || idBytes % 4 !== 0) {
    throw invalidFieldInParameterList("TRANSPORTID LENGTH is a multiple of 4 from 24 on", 20)
  }
  if (At.moveId + idBytes > list.length)
    throw parameterListLengthError("the list ends within its TransportID")
  const flags = list[At.moveFlags]!
  return {
    key: keyAt(list, At.key),
    actionKey: keyAt(list, At.actionKey),
    throughPowerLoss: (flags & APTPL) !== 0,
    unregister: (flags & UNREG) !== 0,
    relativeTargetPort: u16(list, At.relativeTargetPort),
    transportId: decodeTransportId(list, At.moveId, At.moveId + idBytes),
  }
}
