import { SanletError } from "../../base/errors.ts"

/** Sense keys (SPC-4 §4.5.6). */
export const SenseKey = {
  noSense: 0x0,
  recoveredError: 0x1,
  notReady: 0x2,
  mediumError: 0x3,
  hardwareError: 0x4,
  illegalRequest: 0x5,
  unitAttention: 0x6,
  dataProtect: 0x7,
  blankCheck: 0x8,
  copyAborted: 0xa,
  abortedCommand: 0xb,
  miscompare: 0xe,
  completed: 0xf,
} as const
export type SenseKey = (typeof SenseKey)[keyof typeof SenseKey]

/** Additional sense codes: ASC in the high byte, ASCQ in the low one (SPC-4 annex F.2). */
export const Asc = {
  noAdditionalSense: 0x0000,
  logicalUnitNotReadyCauseNotReportable: 0x0400,
  logicalUnitNotReadyInitializingCommandRequired: 0x0402,
  writeError: 0x0c00,
  invalidFieldInCommandInformationUnit: 0x0e03,
  unrecoveredReadError: 0x1100,
  parameterListLengthError: 0x1a00,
  miscompareDuringVerify: 0x1d00,
  invalidCommandOperationCode: 0x2000,
  lbaOutOfRange: 0x2100,
  invalidFieldInCdb: 0x2400,
  logicalUnitNotSupported: 0x2500,
  invalidFieldInParameterList: 0x2600,
  parameterValueInvalid: 0x2602,
  writeProtected: 0x2700,
  logicalUnitSoftwareWriteProtected: 0x2702,
  spaceAllocationFailed: 0x2707,
  powerOnResetOrBusDeviceReset: 0x2900,
  powerOn: 0x2901,
  busDeviceResetFunction: 0x2903,
  itNexusLoss: 0x2907,
  parametersChanged: 0x2a00,
  modeParametersChanged: 0x2a01,
  capacityDataHasChanged: 0x2a09,
  commandsClearedByAnotherInitiator: 0x2f00,
  savingParametersNotSupported: 0x3900,
  mediumNotPresent: 0x3a00,
  reportedLunsDataHasChanged: 0x3f0e,
  inquiryDataHasChanged: 0x3f03,
  internalTargetFailure: 0x4400,
  protocolServiceCrcError: 0x4705,
  mediumRemovalPrevented: 0x5302,
  initiatorDetectedErrorMessageReceived: 0x4800,
} as const
export type Asc = (typeof Asc)[keyof typeof Asc]

/** What SenseError may add to key and code. */
export interface SenseDetail {
  /** The INFORMATION field: an LBA, the offset of a miscompare. */
  readonly information?: number
  /** The sense-key specific field pointer (SPC-4 §4.5.2.4.2): which byte, which bit, of the CDB or of the parameter list. */
  readonly field?: { readonly in: "cdb" | "parameters"; readonly byte: number; readonly bit?: number }
}

/** The one kind of error that becomes CHECK CONDITION: thrown wherever the cause is found. */
export class SenseError extends SanletError {
  readonly key: SenseKey
  readonly asc: number
  readonly detail: SenseDetail

  constructor(key: SenseKey, asc: number, message: string, detail: SenseDetail = {}) {
    super("ERR_SENSE", message)
    this.key = key
    this.asc = asc
    this.detail = detail
  }
}
