import type { Completion } from "../../base/completion.ts"
import { putU16, putU32, u32 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { TargetPortGroup, TargetPortGroups } from "../sam/target-port-groups.ts"
import type { Task } from "../sam/task.ts"
import { all, none } from "../sam/usage.ts"
import { type AccessState, AccessStatus, accessStateCodes } from "../spec/access-state.ts"
import { MaintenanceIn, OperationCode } from "../spec/operation-code.ts"

const PARAMETER_DATA_FORMAT = 0xe0
const EXTENDED = 0x20
const FORMAT_TYPE_EXTENDED = 0x10
const PREF = 0x80
/** T_SUP, O_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP: all but the logical block dependent state. */
const SUPPORTED_STATES = 0b1100_1111
/** TARGET PORT GROUP of the secondary group, which all offline ports are in. No primary group has it. */
const OFFLINE_GROUP = 0xffff

/** REPORT TARGET PORT GROUPS (SPC-4 §6.37), with either header. */
function execute(task: Task): Completion {
  const { cdb, nexus } = task
  const format = cdb[1]! & PARAMETER_DATA_FORMAT
  if (format !== 0 && format !== EXTENDED) {
    throw invalidFieldInCdb(`PARAMETER DATA FORMAT ${format >> 5} is reserved`, 1, 7)
  }
  const portGroups = nexus.inventory?.portGroups
  const data = portGroups ? parameterData(portGroups, format === EXTENDED) : new Uint8Array(4)
  return sendParameterData(task, data, u32(cdb, 6))
}

function parameterData({ groups, transitionSeconds }: TargetPortGroups, extended: boolean): Uint8Array {
  const headerBytes = extended ? 8 : 4
  const descriptors = descriptorsOf(groups)
  const data = new Uint8Array(headerBytes + descriptors.reduce((sum, { length }) => sum + length, 0))
  putU32(data, 0, data.length - 4)
  if (extended) {
    data[4] = FORMAT_TYPE_EXTENDED
    data[5] = transitionSeconds
  }
  let at = headerBytes
  for (const descriptor of descriptors) {
    data.set(descriptor, at)
    at += descriptor.length
  }
  return data
}

/**
 * One per target port group. Offline is a secondary state (§5.16.2.10): the primary group of offline ports is reported
 * in the primary state that comes nearest, and the ports once more in the secondary group.
 */
function descriptorsOf(groups: readonly TargetPortGroup[]): Uint8Array[] {
  const descriptors = groups
    .filter(({ ports }) => ports.length > 0)
    .map((group) => descriptor(group, group.state === "offline" ? "unavailable" : group.state))
  const offline = groups.filter(({ state }) => state === "offline")
  const ports = offline.flatMap((group) => group.ports).slice(0, 0xff)
  if (ports.length === 0) return descriptors
  const secondary = { id: OFFLINE_GROUP, ports, preferred: false, status: AccessStatus.implicit }
  return [...descriptors, descriptor(secondary, "offline")]
}

function descriptor(group: Omit<TargetPortGroup, "state">, state: AccessState): Uint8Array {
  const { id, ports, preferred, status } = group
  const bytes = new Uint8Array(8 + ports.length * 4)
  bytes[0] = (preferred ? PREF : 0) | accessStateCodes[state]
  bytes[1] = SUPPORTED_STATES
  putU16(bytes, 2, id)
  bytes[5] = status
  bytes[7] = ports.length
  ports.forEach((port, i) => putU16(bytes, 8 + i * 4 + 2, port))
  return bytes
}

export const reportTargetPortGroups: Command = {
  name: "REPORT TARGET PORT GROUPS",
  opcode: OperationCode.maintenanceIn,
  serviceAction: MaintenanceIn.reportTargetPortGroups,
  usage: [
    OperationCode.maintenanceIn,
    PARAMETER_DATA_FORMAT | MaintenanceIn.reportTargetPortGroups,
    ...none(4),
    ...all(4),
    0,
    0,
  ],
  access: "none",
  execute,
}
