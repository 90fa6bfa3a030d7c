import { MaintenanceIn, MaintenanceOut, OperationCode } from "../spec/operation-code.ts"
import { putU16, putU32 } from "./fields.ts"

/** Builders of SPC-4's CDBs. Each gives a CDB of its own length; lengths are in bytes. */
export const testUnitReady = (): Uint8Array => new Uint8Array(6)

/** SPC-4 §6.39. `descriptor`: the format asked for. */
export function requestSense(allocationBytes: number, descriptor = false): Uint8Array {
  const cdb = new Uint8Array(6)
  cdb[0] = OperationCode.requestSense
  if (descriptor) cdb[1] = 0x01
  cdb[4] = allocationBytes
  return cdb
}

/** SPC-4 §6.4. With `vpdPage` it asks for that vital product data page, else for standard data. */
export function inquiry(allocationBytes: number, vpdPage?: number): Uint8Array {
  const cdb = new Uint8Array(6)
  cdb[0] = OperationCode.inquiry
  if (vpdPage !== undefined) {
    cdb[1] = 0x01
    cdb[2] = vpdPage
  }
  putU16(cdb, 3, allocationBytes)
  return cdb
}

/** PC of MODE SENSE (SPC-4 §6.11). */
export const PageControl = { current: 0, changeable: 1, default: 2, saved: 3 } as const
export type PageControl = (typeof PageControl)[keyof typeof PageControl]

export interface ModeSenseOptions {
  readonly subpage?: number
  readonly control?: PageControl
  /** DBD: without block descriptors. */
  readonly withoutBlockDescriptors?: boolean
  /** LLBAA: a long block descriptor is welcome. MODE SENSE (10) only. */
  readonly longLba?: boolean
}

/** SPC-4 §6.11. */
export function modeSense6(
  page: number,
  allocationBytes: number,
  options: ModeSenseOptions = {},
): Uint8Array {
  const cdb = new Uint8Array(6)
  cdb[0] = OperationCode.modeSense6
  putPage(cdb, page, options)
  cdb[4] = allocationBytes
  return cdb
}

/** SPC-4 §6.12. */
export function modeSense10(
  page: number,
  allocationBytes: number,
  options: ModeSenseOptions = {},
): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = OperationCode.modeSense10
  putPage(cdb, page, options)
  if (options.longLba) cdb[1]! |= 0x10
  putU16(cdb, 7, allocationBytes)
  return cdb
}

function putPage(cdb: Uint8Array, page: number, options: ModeSenseOptions): void {
  if (options.withoutBlockDescriptors) cdb[1] = 0x08
  cdb[2] = ((options.control ?? PageControl.current) << 6) | page
  cdb[3] = options.subpage ?? 0
}

const PF = 0x10
const SP = 0x01

/** SPC-4 §6.9: PF is set. */
export function modeSelect6(parameterListBytes: number, savePages = false): Uint8Array {
  const cdb = new Uint8Array(6)
  cdb[0] = OperationCode.modeSelect6
  cdb[1] = PF | (savePages ? SP : 0)
  cdb[4] = parameterListBytes
  return cdb
}

/** SPC-4 §6.10: PF is set. */
export function modeSelect10(parameterListBytes: number, savePages = false): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = OperationCode.modeSelect10
  cdb[1] = PF | (savePages ? SP : 0)
  putU16(cdb, 7, parameterListBytes)
  return cdb
}

export interface LogOptions {
  readonly subpage?: number
  /** PC: threshold (0), cumulative (1), default threshold (2), default cumulative values (3). Default 1. */
  readonly control?: number
}

/** SPC-4 §6.12. `pointer`: the code of the first parameter wanted. */
export function logSense(
  page: number,
  allocationBytes: number,
  options: LogOptions & { readonly pointer?: number } = {},
): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = OperationCode.logSense
  putLogPage(cdb, page, options)
  putU16(cdb, 5, options.pointer ?? 0)
  putU16(cdb, 7, allocationBytes)
  return cdb
}

/** SPC-4 §6.11. With a parameter list `page` is 0; without one `reset` (PCR) has the pages' counters at 0 again. */
export function logSelect(
  parameterListBytes: number,
  options: LogOptions & { readonly page?: number; readonly reset?: boolean } = {},
): Uint8Array {
  const cdb = new Uint8Array(10)
  cdb[0] = OperationCode.logSelect
  if (options.reset) cdb[1] = 0x02
  putLogPage(cdb, options.page ?? 0, options)
  putU16(cdb, 7, parameterListBytes)
  return cdb
}

function putLogPage(cdb: Uint8Array, page: number, { subpage = 0, control = 1 }: LogOptions): void {
  cdb[2] = (control << 6) | page
  cdb[3] = subpage
}

/** SPC-4 §6.33. `select`: SELECT REPORT, 0 (addressable units), 1 (well-known ones) or 2 (all). */
export function reportLuns(allocationBytes: number, select = 0): Uint8Array {
  const cdb = new Uint8Array(12)
  cdb[0] = OperationCode.reportLuns
  cdb[2] = select
  putU32(cdb, 6, allocationBytes)
  return cdb
}

const bare = (opcode: number, bytes: number): Uint8Array => {
  const cdb = new Uint8Array(bytes)
  cdb[0] = opcode
  return cdb
}

/** RESERVE and RELEASE of the whole logical unit for this nexus (SPC-2 §7.17 to 7.20). */
export const reserve6 = (): Uint8Array => bare(OperationCode.reserve6, 6)
export const reserve10 = (): Uint8Array => bare(OperationCode.reserve10, 10)
export const release6 = (): Uint8Array => bare(OperationCode.release6, 6)
export const release10 = (): Uint8Array => bare(OperationCode.release10, 10)

/** SPC-4 §6.18. */
export function preventAllowMediumRemoval(prevent: boolean): Uint8Array {
  const cdb = bare(OperationCode.preventAllowMediumRemoval, 6)
  if (prevent) cdb[4] = 0x01
  return cdb
}

/** The default self-test (SPC-4 §6.42). */
export function selfTest(): Uint8Array {
  const cdb = bare(OperationCode.sendDiagnostic, 6)
  cdb[1] = 0x04
  return cdb
}

/** SELF-TEST CODE (SPC-4 §6.42): a short (1) or an extended one (2) begins in the background, or (4) ends there. */
export function backgroundSelfTest(code: 1 | 2 | 4): Uint8Array {
  const cdb = bare(OperationCode.sendDiagnostic, 6)
  cdb[1] = code << 5
  return cdb
}

/** SELF-TEST CODE (SPC-4 §6.42): a short (5) or an extended one (6), whose end the command waits for. */
export function foregroundSelfTest(code: 5 | 6): Uint8Array {
  const cdb = bare(OperationCode.sendDiagnostic, 6)
  cdb[1] = code << 5
  return cdb
}

export interface ReportOperationCodesOptions {
  /** Which command; absent: all of them. */
  readonly opcode?: number
  readonly serviceAction?: number
  /** RCTD: with timeouts descriptors. */
  readonly timeouts?: boolean
}

/** SPC-4 §6.35. */
export function reportSupportedOperationCodes(
  allocationBytes: number,
  options: ReportOperationCodesOptions = {},
): Uint8Array {
  const { opcode, serviceAction, timeouts } = options
  const cdb = maintenanceIn(MaintenanceIn.reportSupportedOperationCodes, allocationBytes)
  const reporting = opcode === undefined ? 0 : serviceAction === undefined ? 1 : 2
  cdb[2] = (timeouts ? 0x80 : 0) | reporting
  cdb[3] = opcode ?? 0
  putU16(cdb, 4, serviceAction ?? 0)
  return cdb
}

/** SPC-4 §6.36. `extended` (REPD): with timeouts. */
export function reportSupportedTaskManagementFunctions(
  allocationBytes: number,
  extended = false,
): Uint8Array {
  const cdb = maintenanceIn(MaintenanceIn.reportSupportedTaskManagementFunctions, allocationBytes)
  if (extended) cdb[2] = 0x80
  return cdb
}

/** SPC-4 §6.37. `extended`: with the header that tells the IMPLICIT TRANSITION TIME. */
export function reportTargetPortGroups(allocationBytes: number, extended = false): Uint8Array {
  const cdb = maintenanceIn(MaintenanceIn.reportTargetPortGroups, allocationBytes)
  if (extended) cdb[1]! |= 0x20
  return cdb
}

/** SPC-4 §6.45. */
export function setTargetPortGroups(parameterListBytes: number): Uint8Array {
  const cdb = bare(OperationCode.maintenanceOut, 12)
  cdb[1] = MaintenanceOut.setTargetPortGroups
  putU32(cdb, 6, parameterListBytes)
  return cdb
}

function maintenanceIn(serviceAction: number, allocationBytes: number): Uint8Array {
  const cdb = bare(OperationCode.maintenanceIn, 12)
  cdb[1] = serviceAction
  putU32(cdb, 6, allocationBytes)
  return cdb
}
