import {
  COPIES_MAX,
  COPY_DESCRIPTORS_BYTES_MAX,
  CSCD_DESCRIPTORS_MAX,
  ROD_BYTES_MAX,
  ROD_RANGES_MAX,
  ROD_TOKEN_INACTIVITY_MS,
  ROD_TOKEN_INACTIVITY_MS_MAX,
  SEGMENT_DESCRIPTORS_MAX,
} from "../../../base/limits.ts"
import { putU16, putU32, putU64 } from "../../cdb/fields.ts"
import type { VpdPage } from "../../sam/vpd-page.ts"
import { OperationCode } from "../../spec/operation-code.ts"
import { ADDRESSED_UNIT, RodType } from "../../spec/third-party-copy.ts"
import type { DiskUnit } from "../disk-unit.ts"
import { IMPLEMENTED_DESCRIPTORS } from "./copy-results.ts"

const TOKEN_IN = 0x02
const TOKEN_OUT = 0x01
/** What initiators had better ask for at once, so that one command doesn't outlast their patience. */
const OPTIMAL_TRANSFER_BYTES = 64 * 1024 * 1024

/** A third-party copy descriptor (SPC-4 §7.8.17.2), padded; offsets are written as the standard counts them. */
function descriptor(type: number, bytes: number, write: (data: Uint8Array) => void): Uint8Array {
  const data = new Uint8Array(Math.ceil(bytes / 4) * 4)
  putU16(data, 0, type)
  putU16(data, 2, data.length - 4)
  write(data)
  return data
}

/** Block Device ROD Limits (SBC-3). */
const blockDeviceRodLimits = (unit: DiskUnit): Uint8Array =>
  descriptor(0x0000, 36, (data) => {
    putU16(data, 10, ROD_RANGES_MAX)
    putU32(data, 12, ROD_TOKEN_INACTIVITY_MS_MAX / 1000)
    putU32(data, 16, ROD_TOKEN_INACTIVITY_MS / 1000)
    putU64(data, 20, ROD_BYTES_MAX / unit.blockBytes)
    putU64(data, 28, OPTIMAL_TRANSFER_BYTES / unit.blockBytes)
  })

/** Supported Commands (§7.8.17.4): what the command table has. */
function supportedCommands(unit: DiskUnit): Uint8Array {
  const list = [OperationCode.thirdPartyCopyOut, OperationCode.thirdPartyCopyIn].flatMap((opcode) => {
    const actions = unit.commandTable.commands.filter((command) => command.opcode === opcode)
    return [opcode, actions.length, ...actions.map(({ serviceAction }) => serviceAction ?? 0)]
  })
  return descriptor(0x0001, 5 + list.length, (data) => {
    data[4] = list.length
    data.set(list, 5)
  })
}

/** Parameter Data (§7.8.17.5). */
const parameterData = descriptor(0x0004, 32, (data) => {
  putU16(data, 8, CSCD_DESCRIPTORS_MAX)
  putU16(data, 10, SEGMENT_DESCRIPTORS_MAX)
  putU32(data, 12, COPY_DESCRIPTORS_BYTES_MAX)
})

/** Supported Descriptors (§7.8.17.6). */
const supportedDescriptors = descriptor(0x0008, 5 + IMPLEMENTED_DESCRIPTORS.length, (data) => {
  data[4] = IMPLEMENTED_DESCRIPTORS.length
  data.set(IMPLEMENTED_DESCRIPTORS, 5)
})

/** Supported CSCD IDs (§7.8.17.7). F800h means something with ROD CSCD descriptors only, and those aren't known. */
const supportedCscdIds = descriptor(0x000c, 8, (data) => {
  putU16(data, 4, 2)
  putU16(data, 6, ADDRESSED_UNIT)
})

const BLOCK_ROD_FEATURES = 48
const BLOCK_ROD_FEATURES_BYTES = 48

/** ROD Token Features (§7.8.17.8): tokens of this target device, with the block ROD device type specific features. */
const rodTokenFeatures = descriptor(0x0106, BLOCK_ROD_FEATURES + BLOCK_ROD_FEATURES_BYTES, (data) => {
  putU32(data, 16, 1)
  putU32(data, 20, 0xffff_ffff)
  putU32(data, 24, ROD_TOKEN_INACTIVITY_MS_MAX / 1000)
  putU16(data, 46, BLOCK_ROD_FEATURES_BYTES)
  const at = BLOCK_ROD_FEATURES
  putU16(data, at + 2, BLOCK_ROD_FEATURES_BYTES - 4)
  putU64(data, at + 8, ROD_BYTES_MAX)
  putU64(data, at + 16, OPTIMAL_TRANSFER_BYTES)
  putU32(data, at + 24, 0xffff_ffff) // a token costs the same whatever it stands for
  putU32(data, at + 28, 0xffff_ffff)
  putU64(data, at + 32, OPTIMAL_TRANSFER_BYTES)
})

const ROD_TYPE_BYTES = 64
const rodTypes = [
  { type: RodType.pointInTimeChangeVulnerable, flags: TOKEN_IN | TOKEN_OUT },
  { type: RodType.blockDeviceZero, flags: TOKEN_IN },
]

/** Supported ROD Types (§7.8.17.9). */
const supportedRodTypes = descriptor(0x0108, 8 + rodTypes.length * ROD_TYPE_BYTES, (data) => {
  putU16(data, 6, rodTypes.length * ROD_TYPE_BYTES)
  rodTypes.forEach(({ type, flags }, i) => {
    putU32(data, 8 + i * ROD_TYPE_BYTES, type)
    data[12 + i * ROD_TYPE_BYTES] = flags
  })
})

/** General Copy Operations (§7.8.17.10): segments of any length, to the byte. */
const generalCopyOperations = descriptor(0x8001, 36, (data) => {
  putU32(data, 4, COPIES_MAX)
  putU32(data, 8, COPIES_MAX)
})

/** Held Data (§7.8.17.12): none, but who has RECEIVE COPY DATA must say so. */
const heldData = descriptor(0xc001, 32, () => {})

/** Third-party Copy (SPC-4 §7.8.17), with its descriptors by rising type. */
export const thirdPartyCopyPage: VpdPage<DiskUnit> = {
  code: 0x8f,
  build: (unit) =>
    Uint8Array.from(
      Buffer.concat([
        blockDeviceRodLimits(unit),
        supportedCommands(unit),
        parameterData,
        supportedDescriptors,
        supportedCscdIds,
        rodTokenFeatures,
        supportedRodTypes,
        generalCopyOperations,
        heldData,
      ]),
    ),
}
