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
  operationInProgress: 0x0016,
  overlappingAtomicCommandInProgress: 0x0023,
  logicalUnitNotReadyCauseNotReportable: 0x0400,
  logicalUnitNotReadyInitializingCommandRequired: 0x0402,
  logicalUnitNotReadyFormatInProgress: 0x0404,
  selfTestInProgress: 0x0409,
  asymmetricAccessStateTransition: 0x040a,
  targetPortInStandbyState: 0x040b,
  targetPortInUnavailableState: 0x040c,
  logicalUnitNotReadyOffline: 0x0412,
  logicalUnitNotReadySanitizeInProgress: 0x041b,
  unreachableCopyTarget: 0x0804,
  warningBackgroundSelfTestFailed: 0x0b03,
  writeError: 0x0c00,
  thirdPartyDeviceFailure: 0x0d01,
  copyTargetDeviceNotReachable: 0x0d02,
  incorrectCopyTargetDeviceType: 0x0d03,
  invalidFieldInCommandInformationUnit: 0x0e03,
  logicalBlockGuardCheckFailed: 0x1001,
  logicalBlockApplicationTagCheckFailed: 0x1002,
  logicalBlockReferenceTagCheckFailed: 0x1003,
  unrecoveredReadError: 0x1100,
  parameterListLengthError: 0x1a00,
  miscompareDuringVerify: 0x1d00,
  invalidCommandOperationCode: 0x2000,
  lbaOutOfRange: 0x2100,
  invalidTokenUnsupportedType: 0x2301,
  invalidTokenUnknown: 0x2304,
  invalidTokenExpired: 0x2307,
  invalidTokenCancelled: 0x2308,
  invalidTokenDeleted: 0x2309,
  invalidTokenLength: 0x230a,
  invalidFieldInCdb: 0x2400,
  invalidFastFormat: 0x2409,
  logicalUnitNotSupported: 0x2500,
  invalidFieldInParameterList: 0x2600,
  invalidReleaseOfPersistentReservation: 0x2604,
  tooManyTargetDescriptors: 0x2606,
  unsupportedTargetDescriptorType: 0x2607,
  tooManySegmentDescriptors: 0x2608,
  unsupportedSegmentDescriptorType: 0x2609,
  unexpectedInexactSegment: 0x260a,
  inlineDataLengthExceeded: 0x260b,
  writeProtected: 0x2700,
  logicalUnitSoftwareWriteProtected: 0x2702,
  spaceAllocationFailed: 0x2707,
  notReadyToReadyChange: 0x2800,
  powerOnResetOrBusDeviceReset: 0x2900,
  powerOn: 0x2901,
  busDeviceResetFunction: 0x2903,
  itNexusLoss: 0x2907,
  modeParametersChanged: 0x2a01,
  logParametersChanged: 0x2a02,
  reservationsPreempted: 0x2a03,
  reservationsReleased: 0x2a04,
  registrationsPreempted: 0x2a05,
  asymmetricAccessStateChanged: 0x2a06,
  implicitAccessStateTransitionFailed: 0x2a07,
  capacityDataHasChanged: 0x2a09,
  commandSequenceError: 0x2c00,
  previousBusyStatus: 0x2c07,
  previousTaskSetFullStatus: 0x2c08,
  previousReservationConflictStatus: 0x2c09,
  commandsClearedByAnotherInitiator: 0x2f00,
  commandsClearedByDeviceServer: 0x2f02,
  mediumFormatCorrupted: 0x3100,
  sanitizeCommandFailed: 0x3103,
  noDefectSpareLocationAvailable: 0x3200,
  thinProvisioningSoftThresholdReached: 0x3807,
  savingParametersNotSupported: 0x3900,
  cannotReadMediumIncompatibleFormat: 0x3002,
  mediumNotPresent: 0x3a00,
  mediumNotPresentTrayClosed: 0x3a01,
  mediumNotPresentTrayOpen: 0x3a02,
  logicalUnitFailedSelfTest: 0x3e03,
  reportedLunsDataHasChanged: 0x3f0e,
  deviceIdentifierChanged: 0x3f05,
  internalTargetFailure: 0x4400,
  persistentReservationInformationLost: 0x4401,
  protocolServiceCrcError: 0x4705,
  mediumRemovalPrevented: 0x5302,
  invalidMessageError: 0x4900,
  overlappedCommandsAttempted: 0x4e00,
  insufficientRegistrationResources: 0x5504,
  insufficientResourcesToCreateRod: 0x550c,
  thresholdConditionMet: 0x5b01,
  failurePredictionThresholdExceededFalse: 0x5dff,
  illegalModeForThisTrack: 0x6400,
  setTargetPortGroupsCommandFailed: 0x670a,
} as const
export type Asc = (typeof Asc)[keyof typeof Asc]

/** What SenseError may add to key and code. */
export interface SenseDetail {
  /** The INFORMATION field: an LBA, the offset of a miscompare. */
  readonly information?: number
  /**
   * The sense-key specific field pointer (SPC-4 §4.5.2.4.2): which byte, which bit, of the CDB or of the parameter list.
   * With COPY ABORTED it is the segment pointer (§4.5.2.4.5): of the parameter list, or of the segment descriptor that
   * `commandSpecific` numbers.
   */
  readonly field?: {
    readonly in: "cdb" | "parameters" | "segment"
    readonly byte: number
    readonly bit?: number
  }
  /** The progress indication of something that goes on, in 65536ths (SPC-4 §4.5.2.4.4); with NO SENSE and NOT READY. */
  readonly progress?: number
  /**
   * COMMAND-SPECIFIC INFORMATION; of a copy: the segment's number (SPC-4 §5.17.7.4); of REASSIGN BLOCKS: the first LBA that
   * wasn't reassigned.
   */
  readonly commandSpecific?: number
  /** What the source or the destination of a copy answered (SPC-4 §5.17.7.4 d, e). */
  readonly forwarded?: ForwardedSense
}

/** Status and sense data of somebody else's, handed on (SPC-4 §4.5.2.7). */
export interface ForwardedSense {
  readonly from: "source" | "destination"
  readonly status: number
  /** At most 64 bytes. */
  readonly sense: Uint8Array
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
const COMMAND_SPECIFIC_DESCRIPTOR_BYTES = 12
const KEY_SPECIFIC_DESCRIPTOR_BYTES = 8
const FORWARDED = 0x0c

/** As long as sense data of ours gets: a header and a descriptor of each kind, with 64 bytes forwarded. */
export const SENSE_BYTES_MAX =
  8 +
  INFORMATION_DESCRIPTOR_BYTES +
  COMMAND_SPECIFIC_DESCRIPTOR_BYTES +
  KEY_SPECIFIC_DESCRIPTOR_BYTES +
  (4 + 64)

/** Sense data (SPC-4 §4.5): 18 bytes in fixed format, 8 to 40 in descriptor format, and what is forwarded. */
export function encodeSense(sense: Sense, format: SenseFormat): Uint8Array {
  return format === "fixed" ? encodeFixed(sense) : encodeDescriptors(sense)
}

function encodeFixed({ key, asc, detail, deferred }: Sense): Uint8Array {
  const { information, commandSpecific, forwarded } = detail
  const forwardedBytes = forwarded === undefined ? 0 : 1 + forwarded.sense.length
  const bytes = new Uint8Array(FIXED_BYTES + forwardedBytes)
  bytes[0] = FIXED | (deferred ? 1 : 0)
  bytes[2] = key
  // A longer one has no room: VALID stays 0 (SPC-4 §4.5.3).
  if (information !== undefined && information < 2 ** 32) {
    bytes[0] |= 0x80
    putU32(bytes, 3, information)
  }
  bytes[7] = bytes.length - 8
  if (commandSpecific !== undefined) putU32(bytes, 8, Math.min(commandSpecific, 0xffff_ffff))
  bytes[12] = asc >> 8
  bytes[13] = asc & 0xff
  putKeySpecific(bytes, 15, key, detail)
  if (forwarded !== undefined) {
    bytes[forwarded.from === "source" ? 8 : 9] = FIXED_BYTES
    bytes[FIXED_BYTES] = forwarded.status
    bytes.set(forwarded.sense, FIXED_BYTES + 1)
  }
  return bytes
}

const hasFieldPointer = (key: SenseKey): boolean =>
  key === SenseKey.illegalRequest || key === SenseKey.copyAborted

const tellsProgress = (key: SenseKey): boolean => key === SenseKey.noSense || key === SenseKey.notReady

const isKeySpecific = (key: SenseKey, { field, progress }: SenseDetail): boolean =>
  hasFieldPointer(key) ? field !== undefined : tellsProgress(key) && progress !== undefined

function encodeDescriptors(sense: Sense): Uint8Array {
  const { key, asc, deferred } = sense
  const descriptors = senseDescriptors(sense)
  const length = descriptors.reduce((sum, descriptor) => sum + descriptor.length, 0)
  const bytes = new Uint8Array(8 + length)
  bytes[0] = DESCRIPTOR | (deferred ? 1 : 0)
  bytes[1] = key
  bytes[2] = asc >> 8
  bytes[3] = asc & 0xff
  bytes[7] = length
  let at = 8
  for (const descriptor of descriptors) {
    bytes.set(descriptor, at)
    at += descriptor.length
  }
  return bytes
}

function senseDescriptors({ key, detail }: Sense): Uint8Array[] {
  const { information, commandSpecific, forwarded } = detail
  const descriptors: Uint8Array[] = []
  if (information !== undefined) {
    const descriptor = senseDescriptor(0x00, INFORMATION_DESCRIPTOR_BYTES)
    descriptor[2] = 0x80
    putU32(descriptor, 4, Math.floor(information / 2 ** 32))
    putU32(descriptor, 8, information >>> 0)
    descriptors.push(descriptor)
  }
  if (commandSpecific !== undefined) {
    const descriptor = senseDescriptor(0x01, COMMAND_SPECIFIC_DESCRIPTOR_BYTES)
    // Eight bytes here, four in fixed format: a number lies in the last of them, but a segment's in bytes 2 and 3.
    if (key === SenseKey.copyAborted) putU32(descriptor, 4, commandSpecific)
    else {
      putU32(descriptor, 4, Math.floor(commandSpecific / 2 ** 32))
      putU32(descriptor, 8, commandSpecific >>> 0)
    }
    descriptors.push(descriptor)
  }
  if (isKeySpecific(key, detail)) {
    const descriptor = senseDescriptor(0x02, KEY_SPECIFIC_DESCRIPTOR_BYTES)
    putKeySpecific(descriptor, 4, key, detail)
    descriptors.push(descriptor)
  }
  if (forwarded !== undefined) {
    const descriptor = senseDescriptor(FORWARDED, 4 + forwarded.sense.length)
    descriptor[2] = forwarded.from === "source" ? 1 : 2
    descriptor[3] = forwarded.status
    descriptor.set(forwarded.sense, 4)
    descriptors.push(descriptor)
  }
  return descriptors
}

function senseDescriptor(type: number, lengthBytes: number): Uint8Array {
  const descriptor = new Uint8Array(lengthBytes)
  descriptor[0] = type
  descriptor[1] = lengthBytes - 2
  return descriptor
}

/**
 * SKSV with C/D (of a segment pointer: SD), BPV, BIT POINTER and FIELD POINTER (SPC-4 §4.5.2.4.2, §4.5.2.4.5), or with
 * PROGRESS INDICATION (§4.5.2.4.4), where the sense key is of that kind.
 */
function putKeySpecific(bytes: Uint8Array, at: number, key: SenseKey, detail: SenseDetail): void {
  if (!isKeySpecific(key, detail)) return
  const { field, progress } = detail
  bytes[at] = 0x80
  if (tellsProgress(key)) return putU16(bytes, at + 1, progress!)
  bytes[at]! |= field!.in === "cdb" ? 0x40 : field!.in === "segment" ? 0x20 : 0
  if (field!.bit !== undefined) bytes[at]! |= 0x08 | field!.bit
  putU16(bytes, at + 1, field!.byte)
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
  const key = keyOf(byteAt(bytes, 2))
  const detail = {
    ...((bytes[0]! & 0x80) !== 0 && bytes.length >= 7 && { information: u32(bytes, 3) }),
    ...(end >= 12 && commandSpecific(key, 0, u32(bytes, 8))),
    ...(end >= 18 && keySpecific(bytes, 15, key)),
  }
  const asc = end >= 14 ? (bytes[12]! << 8) | bytes[13]! : 0
  return { key, asc, detail }
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
    } else if (bytes[at] === 0x01 && next - at >= COMMAND_SPECIFIC_DESCRIPTOR_BYTES) {
      detail = { ...detail, ...commandSpecific(key, u32(bytes, at + 4), u32(bytes, at + 8)) }
    } else if (bytes[at] === 0x02 && next - at >= KEY_SPECIFIC_DESCRIPTOR_BYTES) {
      detail = { ...detail, ...keySpecific(bytes, at + 4, key) }
    }
    at = next
  }
  return { key, asc: (byteAt(bytes, 2) << 8) | byteAt(bytes, 3), detail }
}

/** COMMAND-SPECIFIC INFORMATION as its high and low half; of fixed format there is the low one alone. */
function commandSpecific(key: SenseKey, high: number, low: number): SenseDetail {
  if (key === SenseKey.copyAborted) return { commandSpecific: (high || low) & 0xffff }
  return high === 0 && low === 0 ? {} : { commandSpecific: high * 2 ** 32 + low }
}

function keySpecific(bytes: Uint8Array, at: number, key: SenseKey): SenseDetail {
  const flags = bytes[at]!
  if ((flags & 0x80) === 0) return {}
  if (tellsProgress(key)) return { progress: (bytes[at + 1]! << 8) | bytes[at + 2]! }
  if (!hasFieldPointer(key)) return {}
  const inSegment = key === SenseKey.copyAborted && (flags & 0x20) !== 0
  const inCdb = key === SenseKey.illegalRequest && (flags & 0x40) !== 0
  const where = inCdb ? "cdb" : inSegment ? "segment" : "parameters"
  const byte = (bytes[at + 1]! << 8) | bytes[at + 2]!
  return { field: (flags & 0x08) !== 0 ? { in: where, byte, bit: flags & 0x07 } : { in: where, byte } }
}

const u32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
