import type { Completion } from "../../base/completion.ts"
import { putU16, putU32, u16, u32 } from "../cdb/fields.ts"
import { controlByteAt, NACA } from "../sam/aca.ts"
import type { Command } from "../sam/command.ts"
import { type CommandTable, isOffered } from "../sam/command-table.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Nexus } from "../sam/nexus.ts"
import type { Task } from "../sam/task.ts"
import { all } from "../sam/usage.ts"
import { MaintenanceIn, OperationCode } from "../spec/operation-code.ts"

const RCTD = 0x80
const REPORTING_OPTIONS = 0x07
const CTDP_ALL = 0x02
const SERVACTV = 0x01
const CTDP_ONE = 0x80
/** SUPPORT (SPC-4 table 268). */
const Support = { no: 0x01, asInTheStandard: 0x03 } as const
const TIMEOUTS_BYTES = 12

/**
 * REPORT SUPPORTED OPERATION CODES (SPC-4 §6.35), out of the unit's command table. The timeouts descriptors tell of no
 * timeouts: how long a command takes is up to whoever owns the storage.
 */
function execute(task: Task, unit: LogicalUnit): Completion {
  const { cdb, nexus } = task
  const timeouts = (cdb[2]! & RCTD) !== 0
  const options = cdb[2]! & REPORTING_OPTIONS
  const table = unit.commandTable
  const data =
    options === 0
      ? allCommands(
          table.commands.filter((command) => isOffered(command, nexus)),
          timeouts,
        )
      : oneCommand(commandAskedFor(table, nexus, options, cdb[3]!, u16(cdb, 4)), timeouts)
  return sendParameterData(task, data, u32(cdb, 6))
}

function allCommands(commands: readonly Command[], timeouts: boolean): Uint8Array {
  const descriptorBytes = 8 + (timeouts ? TIMEOUTS_BYTES : 0)
  const data = new Uint8Array(4 + commands.length * descriptorBytes)
  putU32(data, 0, data.length - 4)
  commands.forEach((command, i) => {
    const at = 4 + i * descriptorBytes
    data[at] = command.opcode
    putU16(data, at + 2, command.serviceAction ?? 0)
    data[at + 5] = (timeouts ? CTDP_ALL : 0) | (command.serviceAction === undefined ? 0 : SERVACTV)
    putU16(data, at + 6, command.usage.length)
    if (timeouts) putU16(data, at + 8, TIMEOUTS_BYTES - 2)
  })
  return data
}

/** Undefined: not supported. */
function commandAskedFor(
  table: CommandTable,
  nexus: Nexus,
  options: number,
  opcode: number,
  serviceAction: number,
): Command | undefined {
  const known = table.offered(opcode, nexus)
  if (known === undefined && options <= 3) return undefined
  const withActions = known instanceof Map
  switch (options) {
    case 1: // by operation code, which must do without service actions
      if (withActions) throw invalidFieldInCdb("the operation code has service actions", 2, 2)
      return known as Command
    case 2: // by operation code and service action
      if (!withActions) throw invalidFieldInCdb("the operation code has no service actions", 2, 2)
      return known.get(serviceAction) as Command | undefined
    case 3: // by either
      if (withActions) return known.get(serviceAction) as Command | undefined
      return serviceAction === 0 ? (known as Command) : undefined
    default:
      throw invalidFieldInCdb(`REPORTING OPTIONS ${options} is reserved`, 2, 2)
  }
}

function oneCommand(command: Command | undefined, timeouts: boolean): Uint8Array {
  if (command === undefined) return Uint8Array.of(0, Support.no, 0, 0)
  const usage = usageData(command)
  const data = new Uint8Array(4 + usage.length + (timeouts ? TIMEOUTS_BYTES : 0))
  data[1] = (timeouts ? CTDP_ONE : 0) | Support.asInTheStandard
  putU16(data, 2, usage.length)
  data.set(usage, 4)
  if (timeouts) putU16(data, 4 + usage.length, TIMEOUTS_BYTES - 2)
  return data
}

/** CDB USAGE DATA: masks, but for the operation code and the service action, which stand there themselves; with NACA. */
function usageData(command: Command): Uint8Array {
  const { opcode, serviceAction, usage } = command
  const data = Uint8Array.from(usage)
  data[controlByteAt(opcode, command)]! |= NACA
  data[0] = opcode
  if (serviceAction === undefined) return data
  if (opcode === OperationCode.variableLength) putU16(data, 8, serviceAction)
  else data[1] = (data[1]! & 0xe0) | serviceAction
  return data
}

export const reportSupportedOperationCodes: Command = {
  name: "REPORT SUPPORTED OPERATION CODES",
  opcode: OperationCode.maintenanceIn,
  serviceAction: MaintenanceIn.reportSupportedOperationCodes,
  usage: [
    OperationCode.maintenanceIn,
    MaintenanceIn.reportSupportedOperationCodes,
    RCTD | REPORTING_OPTIONS,
    ...all(7),
    0,
    0,
  ],
  access: "none",
  execute,
}
