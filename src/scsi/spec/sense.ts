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
  asymmetricAccessStateTransition: 0x040a,
  targetPortInStandbyState: 0x040b,
  targetPortInUnavailableState: 0x040c,
  logicalUnitNotReadyOffline: 0x0412,
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
  parameterNotSupported: 0x2601,
  parameterValueInvalid: 0x2602,
  writeProtected: 0x2700,
  logicalUnitSoftwareWriteProtected: 0x2702,
  spaceAllocationFailed: 0x2707,
  powerOnResetOrBusDeviceReset: 0x2900,
  powerOn: 0x2901,
  scsiBusReset: 0x2902,
  busDeviceResetFunction: 0x2903,
  itNexusLoss: 0x2907,
  parametersChanged: 0x2a00,
  modeParametersChanged: 0x2a01,
  asymmetricAccessStateChanged: 0x2a06,
  implicitAccessStateTransitionFailed: 0x2a07,
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
  invalidMessageError: 0x4900,
  overlappedCommandsAttempted: 0x4e00,
  setTargetPortGroupsCommandFailed: 0x670a,
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

/** What sense data says. A SenseError is one. */
export interface Sense {
  readonly key: SenseKey
  readonly asc: number
  readonly detail: SenseDetail
  /** It is about a command that has ended before (response codes 71h and 73h). */
  readonly deferred?: boolean
}

/** How sense data is laid out: D_SENSE of the control mode page, DESC of REQUEST SENSE. */
export type SenseFormat = "fixed" | "descriptor"

const FIXED = 0x70
const DESCRIPTOR = 0x72
const FIXED_BYTES = 18
const INFORMATION_DESCRIPTOR_BYTES = 12
const KEY_SPECIFIC_DESCRIPTOR_BYTES = 8

/** Sense data (SPC-4 §4.5): 18 bytes in fixed format, 8 to 28 in descriptor format. */
export function encodeSense(sense: Sense, format: SenseFormat): Uint8Array {
  return format === "fixed" ? encodeFixed(sense) : encodeDescriptors(sense)
}

function encodeFixed({ key, asc, detail, deferred }: Sense): Uint8Array {
  const bytes = new Uint8Array(FIXED_BYTES)
  bytes[0] = FIXED | (deferred ? 1 : 0)
  bytes[2] = key
  const { information } = detail
  // A longer one has no room: VALID stays 0 (SPC-4 §4.5.3).
  if (information !== undefined && information < 2 ** 32) {
    bytes[0] |= 0x80
    putU32(bytes, 3, information)
  }
  bytes[7] = FIXED_BYTES - 8
  bytes[12] = asc >> 8
  bytes[13] = asc & 0xff
  if (key === SenseKey.illegalRequest) putFieldPointer(bytes, 15, detail)
  return bytes
}

function encodeDescriptors({ key, asc, detail, deferred }: Sense): Uint8Array {
  const { information, field } = detail
  const informationBytes = information === undefined ? 0 : INFORMATION_DESCRIPTOR_BYTES
  const pointed = field !== undefined && key === SenseKey.illegalRequest
  const bytes = new Uint8Array(8 + informationBytes + (pointed ? KEY_SPECIFIC_DESCRIPTOR_BYTES : 0))
  bytes[0] = DESCRIPTOR | (deferred ? 1 : 0)
  bytes[1] = key
  bytes[2] = asc >> 8
  bytes[3] = asc & 0xff
  bytes[7] = bytes.length - 8
  if (information !== undefined) {
    bytes[9] = INFORMATION_DESCRIPTOR_BYTES - 2 // type 00h
    bytes[10] = 0x80
    putU32(bytes, 12, Math.floor(information / 2 ** 32))
    putU32(bytes, 16, information >>> 0)
  }
  if (pointed) {
    const at = 8 + informationBytes
    bytes[at] = 0x02
    bytes[at + 1] = KEY_SPECIFIC_DESCRIPTOR_BYTES - 2
    putFieldPointer(bytes, at + 4, detail)
  }
  return bytes
}

/** SKSV, C/D, BPV, BIT POINTER and FIELD POINTER (SPC-4 §4.5.2.4.2). */
function putFieldPointer(bytes: Uint8Array, at: number, { field }: SenseDetail): void {
  if (field === undefined) return
  bytes[at] = 0x80 | (field.in === "cdb" ? 0x40 : 0)
  if (field.bit !== undefined) bytes[at]! |= 0x08 | field.bit
  bytes[at + 1] = field.byte >> 8
  bytes[at + 2] = field.byte & 0xff
}

/**
 * Sense data of either format, also cut short; undefined where the bytes are none (response codes other than 70h to
 * 73h). Descriptors it doesn't know are skipped.
 */
export function decodeSense(bytes: Uint8Array): Sense | undefined {
  const code = (bytes[0] ?? 0) & 0x7f
  if (code < FIXED || code > DESCRIPTOR + 1) return undefined
  const sense = code < DESCRIPTOR ? decodeFixed(bytes) : decodeDescriptors(bytes)
  return (code & 1) === 1 ? { ...sense, deferred: true } : sense
}

const byteAt = (bytes: Uint8Array, at: number): number => bytes[at] ?? 0
const keyOf = (byte: number): SenseKey => (byte & 0x0f) as SenseKey

function decodeFixed(bytes: Uint8Array): Sense {
  const end = Math.min(bytes.length, 8 + byteAt(bytes, 7))
  const detail = {
    ...((bytes[0]! & 0x80) !== 0 && bytes.length >= 7 && { information: u32(bytes, 3) }),
    ...(end >= 18 && fieldPointer(bytes, 15, keyOf(bytes[2]!))),
  }
  const asc = end >= 14 ? (bytes[12]! << 8) | bytes[13]! : 0
  return { key: keyOf(byteAt(bytes, 2)), asc, detail }
}

function decodeDescriptors(bytes: Uint8Array): Sense {
  const key = keyOf(byteAt(bytes, 1))
  const end = Math.min(bytes.length, 8 + byteAt(bytes, 7))
  let detail: SenseDetail = {}
  for (let at = 8; at + 2 <= end; ) {
    const next = at + 2 + bytes[at + 1]!
    if (next > end) break
    if (bytes[at] === 0x00 && next - at >= INFORMATION_DESCRIPTOR_BYTES && (bytes[at + 2]! & 0x80) !== 0) {
      detail = { ...detail, information: u32(bytes, at + 4) * 2 ** 32 + u32(bytes, at + 8) }
    } else if (bytes[at] === 0x02 && next - at >= KEY_SPECIFIC_DESCRIPTOR_BYTES) {
      detail = { ...detail, ...fieldPointer(bytes, at + 4, key) }
    }
    at = next
  }
  return { key, asc: (byteAt(bytes, 2) << 8) | byteAt(bytes, 3), detail }
}

function fieldPointer(bytes: Uint8Array, at: number, key: SenseKey): SenseDetail {
  const flags = bytes[at]!
  if ((flags & 0x80) === 0 || key !== SenseKey.illegalRequest) return {}
  const where = (flags & 0x40) !== 0 ? "cdb" : "parameters"
  const byte = (bytes[at + 1]! << 8) | bytes[at + 2]!
  return { field: (flags & 0x08) !== 0 ? { in: where, byte, bit: flags & 0x07 } : { in: where, byte } }
}

const u32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
