import type { Completion } from "../../base/completion.ts"
import { u32 } from "../cdb/fields.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc } from "../spec/sense.ts"
import type { Command } from "./command.ts"
import { invalidFieldInCdb } from "./field-error.ts"
import { decodeLun, lunFieldHead, REPORT_LUNS_WELL_KNOWN } from "./lun.ts"
import { sendParameterData } from "./parameter-data.ts"
import type { Task } from "./task.ts"

/** SELECT REPORT (SPC-4 §6.33). The last three are about logical unit conglomerates, of which there are none here. */
const SelectReport = {
  addressable: 0x00,
  wellKnown: 0x01,
  all: 0x02,
  administrative: 0x10,
  administrativeAndSimple: 0x11,
  subsidiary: 0x12,
} as const
const ALLOCATION_BYTES_MIN = 16
const ENTRY_BYTES = 8

/**
 * REPORT LUNS (SPC-4 §6.33): the logical units of the target device the nexus belongs to. It ends REPORTED LUNS DATA
 * HAS CHANGED on all of them, since the initiator has now seen what changed.
 */
function reportLuns(task: Task): Completion {
  const { cdb, nexus } = task
  const allocationBytes = u32(cdb, 6)
  if (allocationBytes < ALLOCATION_BYTES_MIN) {
    throw invalidFieldInCdb("REPORT LUNS wants an ALLOCATION LENGTH of at least 16", 6)
  }
  const all = nexus.inventory?.luns() ?? []
  const luns = selected(task, all)
  nexus.inventory?.clearUnitAttention(nexus, Asc.reportedLunsDataHasChanged)
  return sendParameterData(task, lunList(luns), allocationBytes)
}

function selected(task: Task, luns: readonly number[]): readonly number[] {
  const select = task.cdb[2]!
  switch (select) {
    case SelectReport.addressable:
      return luns
    case SelectReport.wellKnown:
      return [REPORT_LUNS_WELL_KNOWN]
    case SelectReport.all:
      return [...luns, REPORT_LUNS_WELL_KNOWN]
    case SelectReport.administrative:
      checkAddressed(task)
      return []
    case SelectReport.administrativeAndSimple:
      checkAddressed(task)
      return luns
    case SelectReport.subsidiary:
      throw invalidFieldInCdb("this is no administrative logical unit", 2)
    default:
      throw invalidFieldInCdb(`SELECT REPORT ${select.toString(16)}h is not known`, 2)
  }
}

/** Only LUN 0 and the well-known logical unit tell about conglomerates. */
function checkAddressed({ lunHigh, lunLow }: Task): void {
  const lun = decodeLun(lunHigh, lunLow)
  if (lun !== 0 && lun !== REPORT_LUNS_WELL_KNOWN) {
    throw invalidFieldInCdb("LUN 0 or the well-known logical unit is to be asked for this", 2)
  }
}

function lunList(luns: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(8 + luns.length * ENTRY_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, luns.length * ENTRY_BYTES)
  luns.forEach((lun, i) => view.setUint16(8 + i * ENTRY_BYTES, lunFieldHead(lun)))
  return bytes
}

export const reportLunsCommand: Command = {
  name: "REPORT LUNS",
  opcode: OperationCode.reportLuns,
  usage: [OperationCode.reportLuns, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
  access: "none",
  passesUnitAttention: true,
  execute: reportLuns,
}
