/** Operation codes of SPC-4 (annex D.3), SBC-3 and MMC-6 that a disk or a CD-ROM drive knows. */
export const OperationCode = {
  testUnitReady: 0x00,
  requestSense: 0x03,
  formatUnit: 0x04,
  reassignBlocks: 0x07,
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
  readDefectData10: 0x37,
  writeSame10: 0x41,
  unmap: 0x42,
  readTocPmaAtip: 0x43,
  getConfiguration: 0x46,
  getEventStatusNotification: 0x4a,
  readDiscInformation: 0x51,
  readTrackInformation: 0x52,
  sanitize: 0x48,
  logSelect: 0x4c,
  logSense: 0x4d,
  modeSelect10: 0x55,
  reserve10: 0x56,
  release10: 0x57,
  modeSense10: 0x5a,
  persistentReserveIn: 0x5e,
  persistentReserveOut: 0x5f,
  variableLength: 0x7f,
  thirdPartyCopyOut: 0x83,
  thirdPartyCopyIn: 0x84,
  read16: 0x88,
  compareAndWrite: 0x89,
  write16: 0x8a,
  orWrite16: 0x8b,
  writeAndVerify16: 0x8e,
  verify16: 0x8f,
  preFetch16: 0x90,
  synchronizeCache16: 0x91,
  writeSame16: 0x93,
  writeAtomic16: 0x9c,
  serviceActionIn16: 0x9e,
  reportLuns: 0xa0,
  maintenanceIn: 0xa3,
  maintenanceOut: 0xa4,
  read12: 0xa8,
  write12: 0xaa,
  getPerformance: 0xac,
  readDiscStructure: 0xad,
  writeAndVerify12: 0xae,
  verify12: 0xaf,
  setStreaming: 0xb6,
  readCdMsf: 0xb9,
  setCdSpeed: 0xbb,
  mechanismStatus: 0xbd,
  readCd: 0xbe,
  readDefectData12: 0xb7,
} as const
export type OperationCode = (typeof OperationCode)[keyof typeof OperationCode]

/** Service actions, by the operation code they belong to. */
export const ServiceActionIn16 = { readCapacity16: 0x10, getLbaStatus: 0x12 } as const
/** PERSISTENT RESERVE IN (SPC-4 table 201). */
export const PersistentReserveIn = {
  readKeys: 0x00,
  readReservation: 0x01,
  reportCapabilities: 0x02,
  readFullStatus: 0x03,
} as const
/** PERSISTENT RESERVE OUT (SPC-4 table 213). */
export const PersistentReserveOut = {
  register: 0x00,
  reserve: 0x01,
  release: 0x02,
  clear: 0x03,
  preempt: 0x04,
  preemptAndAbort: 0x05,
  registerAndIgnoreExistingKey: 0x06,
  registerAndMove: 0x07,
  replaceLostReservation: 0x08,
} as const
export type PersistentReserveOut = (typeof PersistentReserveOut)[keyof typeof PersistentReserveOut]
export const ThirdPartyCopyOut = {
  extendedCopyLid1: 0x00,
  extendedCopyLid4: 0x01,
  populateToken: 0x10,
  writeUsingToken: 0x11,
  copyOperationAbort: 0x1c,
} as const
export const ThirdPartyCopyIn = {
  receiveCopyStatusLid1: 0x00,
  receiveCopyDataLid1: 0x01,
  receiveCopyOperatingParameters: 0x03,
  receiveCopyFailureDetailsLid1: 0x04,
  receiveCopyStatusLid4: 0x05,
  receiveRodTokenInformation: 0x07,
} as const
export const MaintenanceIn = {
  reportIdentifyingInformation: 0x05,
  reportTargetPortGroups: 0x0a,
  reportSupportedOperationCodes: 0x0c,
  reportSupportedTaskManagementFunctions: 0x0d,
} as const

export const MaintenanceOut = { setIdentifyingInformation: 0x06, setTargetPortGroups: 0x0a } as const
export const VariableLength = {
  read32: 0x0009,
  verify32: 0x000a,
  write32: 0x000b,
  writeAndVerify32: 0x000c,
  writeSame32: 0x000d,
} as const
export const SanitizeAction = {
  overwrite: 0x01,
  blockErase: 0x02,
  cryptographicErase: 0x03,
  exitFailureMode: 0x1f,
} as const

/** Length of a CDB by the group its operation code is in (SPC-4 §4.2.5.1); 0 where the code doesn't tell. */
export const cdbBytesOf = (opcode: number): number => GROUP_BYTES[opcode >> 5]!

const GROUP_BYTES: readonly number[] = [6, 10, 10, 0, 16, 12, 0, 0]
