/** Operation codes of SPC-4 (annex D.3) and SBC-3 that a disk knows. */
export const OperationCode = {
  testUnitReady: 0x00,
  requestSense: 0x03,
  read6: 0x08,
  write6: 0x0a,
  inquiry: 0x12,
  modeSelect6: 0x15,
  reserve6: 0x16,
  release6: 0x17,
  modeSense6: 0x1a,
  startStopUnit: 0x1b,
  sendDiagnostic: 0x1d,
  preventAllowMediumRemoval: 0x1e,
  readCapacity10: 0x25,
  read10: 0x28,
  write10: 0x2a,
  writeAndVerify10: 0x2e,
  verify10: 0x2f,
  preFetch10: 0x34,
  synchronizeCache10: 0x35,
  writeSame10: 0x41,
  unmap: 0x42,
  modeSelect10: 0x55,
  reserve10: 0x56,
  release10: 0x57,
  modeSense10: 0x5a,
  variableLength: 0x7f,
  read16: 0x88,
  compareAndWrite: 0x89,
  write16: 0x8a,
  orWrite16: 0x8b,
  writeAndVerify16: 0x8e,
  verify16: 0x8f,
  preFetch16: 0x90,
  synchronizeCache16: 0x91,
  writeSame16: 0x93,
  serviceActionIn16: 0x9e,
  reportLuns: 0xa0,
  maintenanceIn: 0xa3,
  maintenanceOut: 0xa4,
  read12: 0xa8,
  write12: 0xaa,
  writeAndVerify12: 0xae,
  verify12: 0xaf,
} as const
export type OperationCode = (typeof OperationCode)[keyof typeof OperationCode]

/** Service actions, by the operation code they belong to. */
export const ServiceActionIn16 = { readCapacity16: 0x10, getLbaStatus: 0x12 } as const
export const MaintenanceIn = {
  reportTargetPortGroups: 0x0a,
  reportSupportedOperationCodes: 0x0c,
  reportSupportedTaskManagementFunctions: 0x0d,
} as const

export const MaintenanceOut = { setTargetPortGroups: 0x0a } as const

/** Length of a CDB by the group its operation code is in (SPC-4 §4.2.5.1); 0 where the code doesn't tell. */
export const cdbBytesOf = (opcode: number): number => GROUP_BYTES[opcode >> 5]!

const GROUP_BYTES: readonly number[] = [6, 10, 10, 0, 16, 12, 0, 0]
