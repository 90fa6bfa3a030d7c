import { TARGET_PORT_GROUPS_MAX } from "../../base/limits.ts"
import { u16, u32 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import { receiveParameterList } from "../sam/parameter-data.ts"
import type { AccessChange, TargetPortGroups } from "../sam/target-port-groups.ts"
import type { Task } from "../sam/task.ts"
import { all, none } from "../sam/usage.ts"
import { accessStateCodes, type LastingAccessState } from "../spec/access-state.ts"
import { MaintenanceOut, OperationCode } from "../spec/operation-code.ts"

const HEADER_BYTES = 4
const DESCRIPTOR_BYTES = 4
const LIST_BYTES_MAX = HEADER_BYTES + TARGET_PORT_GROUPS_MAX * DESCRIPTOR_BYTES

/**
 * The states an initiator may ask for. Offline isn't one: it would end the sessions of everybody else, and no command
 * brings a port back from it.
 */
const states = new Map<number, LastingAccessState>(
  (["active/optimized", "active/non-optimized", "standby", "unavailable"] as const).map((state) => [
    accessStateCodes[state],
    state,
  ]),
)

/** SET TARGET PORT GROUPS (SPC-4 §6.45): all that is asked for, or nothing. */
async function execute(task: Task, unit: LogicalUnit): Promise<void> {
  const { cdb, nexus } = task
  const portGroups = nexus.inventory?.portGroups
  if (!portGroups?.explicit) throw unit.commandTable.unknown(cdb, nexus)
  const bytes = u32(cdb, 6)
  if (bytes > LIST_BYTES_MAX || bytes % DESCRIPTOR_BYTES !== 0) {
    throw invalidFieldInCdb(`a parameter list has 4 bytes and 4 per group, ${LIST_BYTES_MAX} at most`, 6)
  }
  const list = await receiveParameterList(task, bytes, LIST_BYTES_MAX)
  await portGroups.request(changesIn(list, portGroups), nexus)
}

function changesIn(list: Uint8Array, portGroups: TargetPortGroups): AccessChange[] {
  const changes: AccessChange[] = []
  for (let at = HEADER_BYTES; at < list.length; at += DESCRIPTOR_BYTES) {
    const code = list[at]! & 0x0f
    const group = u16(list, at + 2)
    const state = states.get(code)
    if (state === undefined) {
      throw invalidFieldInParameterList(`ASYMMETRIC ACCESS STATE ${code.toString(16)}h can't be set`, at, 3)
    }
    if (portGroups.find(group) === undefined) {
      throw invalidFieldInParameterList(`there is no target port group ${group}`, at + 2)
    }
    if (changes.some((change) => change.group === group && change.state !== state)) {
      throw invalidFieldInParameterList(`target port group ${group} can't be in two states`, at, 3)
    }
    changes.push({ group, state })
  }
  return changes
}

export const setTargetPortGroups: Command = {
  name: "SET TARGET PORT GROUPS",
  opcode: OperationCode.maintenanceOut,
  serviceAction: MaintenanceOut.setTargetPortGroups,
  usage: [OperationCode.maintenanceOut, MaintenanceOut.setTargetPortGroups, ...none(4), ...all(4), 0, 0],
  access: "write", // it conflicts as writes do (SPC-4 table 65)
  offered: (nexus) => nexus.inventory?.portGroups.explicit === true,
  execute,
}
