import type { Command } from "../sam/command.ts"
import { serviceActionOf } from "../sam/command-table.ts"
import { MaintenanceIn, OperationCode, ServiceActionIn16 } from "../spec/operation-code.ts"

/** Caching, Control and Informational Exceptions Control: pages that can be read during a sanitize operation. */
const MODE_PAGES: readonly number[] = [0x08, 0x0a, 0x1c]

/** The log page that can be read then. */
const TEMPERATURE_PAGE = 0x0d

/** Commands allowed during sanitize (SBC-4 §4.11.2), as far as they are supported otherwise. */
export function allowedDuringSanitize(cdb: Uint8Array): boolean {
  switch (cdb[0]) {
    case OperationCode.inquiry:
    case OperationCode.requestSense:
    case OperationCode.reportLuns:
    case OperationCode.readCapacity10:
      return true
    case OperationCode.serviceActionIn16:
      return serviceActionOf(cdb) === ServiceActionIn16.readCapacity16
    case OperationCode.maintenanceIn: {
      const action = serviceActionOf(cdb)
      return (
        action === MaintenanceIn.reportSupportedOperationCodes ||
        action === MaintenanceIn.reportSupportedTaskManagementFunctions
      )
    }
    case OperationCode.modeSense6:
    case OperationCode.modeSense10:
      return MODE_PAGES.includes(cdb[2]! & 0x3f) && cdb[3] === 0
    case OperationCode.logSense:
      return (cdb[2]! & 0x3f) === TEMPERATURE_PAGE && cdb[3] === 0
    default:
      return false
  }
}

/** Commands processed during a format operation (SBC-4 §4.33.2). */
export const allowedDuringFormat = (cdb: Uint8Array): boolean =>
  cdb[0] === OperationCode.inquiry ||
  cdb[0] === OperationCode.requestSense ||
  cdb[0] === OperationCode.reportLuns

/** What may be processed although it counts as an access: it reads and changes no block, or it mends the medium. */
const NO_BLOCK_ACCESS: readonly number[] = [
  OperationCode.formatUnit,
  OperationCode.sanitize,
  OperationCode.modeSense6,
  OperationCode.modeSense10,
  OperationCode.modeSelect6,
  OperationCode.modeSelect10,
  OperationCode.sendDiagnostic,
  OperationCode.maintenanceIn,
  OperationCode.maintenanceOut,
  OperationCode.logSelect,
  OperationCode.logSense,
  OperationCode.persistentReserveIn,
  OperationCode.persistentReserveOut,
]

/**
 * While the logical unit is format corrupt (SBC-4 §4.33.3.1). TEST UNIT READY is among what isn't processed: disks tell
 * of the condition there, and initiators look for it there.
 */
export const allowedWhileFormatCorrupt = ({ access, opcode }: Command): boolean =>
  access === "none" || NO_BLOCK_ACCESS.includes(opcode)
