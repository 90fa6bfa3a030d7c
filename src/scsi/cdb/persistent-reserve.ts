import { OperationCode } from "../spec/operation-code.ts"
import { putU16, putU32 } from "./fields.ts"

/** SPC-4 §6.15. `action`: one of PersistentReserveIn. */
export function persistentReserveIn(action: number, allocationBytes: number): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = OperationCode.persistentReserveIn
  cdb[1] = action
  putU16(cdb, 7, allocationBytes)
  return cdb
}

/** SPC-4 §6.16. `action`: one of PersistentReserveOut; `type`: one of PersistentType, where the action has one. */
export function persistentReserveOut(action: number, parameterListBytes: number, type = 0): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = OperationCode.persistentReserveOut
  cdb[1] = action
  cdb[2] = type
  putU32(cdb, 5, parameterListBytes)
  return cdb
}

export interface PersistentReserveList {
  /** The key the nexus is registered with. Default: 0, not registered. */
  readonly key?: bigint
  /** SERVICE ACTION RESERVATION KEY. Default: 0. */
  readonly actionKey?: bigint
  /** APTPL: what is registered and reserved outlives a loss of power from now on. */
  readonly throughPowerLoss?: boolean
  /** ALL_TG_PT: for every port of the target device. */
  readonly allTargetPorts?: boolean
  /** SPEC_I_PT: for the initiator ports of these TransportIDs as well. */
  readonly transportIds?: readonly Uint8Array[]
}

/** The parameter list of a PERSISTENT RESERVE OUT (SPC-4 §6.16.3). */
export function persistentReserveList(options: PersistentReserveList): Uint8Array {
  const { transportIds } = options
  const ids = transportIds === undefined ? new Uint8Array(0) : joined(transportIds)
  const list = new Uint8Array(transportIds === undefined ? 24 : 28 + ids.length)
  putKeys(list, options)
  list[20] =
    (transportIds === undefined ? 0 : 0x08) |
    (options.allTargetPorts ? 0x04 : 0) |
    (options.throughPowerLoss ? 0x01 : 0)
  if (transportIds === undefined) return list
  putU32(list, 24, ids.length)
  list.set(ids, 28)
  return list
}

export interface RegisterAndMoveList {
  readonly key: bigint
  readonly actionKey: bigint
  /** The target port and the initiator port the reservation moves to. */
  readonly relativeTargetPort: number
  readonly transportId: Uint8Array
  /** UNREG: the nexus that moves it is registered no longer. */
  readonly unregister?: boolean
  readonly throughPowerLoss?: boolean
}

/** The parameter list of a REGISTER AND MOVE (SPC-4 §6.16.4). */
export function registerAndMoveList(options: RegisterAndMoveList): Uint8Array {
  const { transportId } = options
  const list = new Uint8Array(24 + transportId.length)
  putKeys(list, options)
  list[17] = (options.unregister ? 0x02 : 0) | (options.throughPowerLoss ? 0x01 : 0)
  putU16(list, 18, options.relativeTargetPort)
  putU32(list, 20, transportId.length)
  list.set(transportId, 24)
  return list
}

function putKeys(list: Uint8Array, { key = 0n, actionKey = 0n }: PersistentReserveList): void {
  const view = new DataView(list.buffer)
  view.setBigUint64(0, key)
  view.setBigUint64(8, actionKey)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
