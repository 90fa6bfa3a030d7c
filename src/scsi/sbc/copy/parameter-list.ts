import {
  COPY_DESCRIPTORS_BYTES_MAX,
  CSCD_DESCRIPTORS_MAX,
  SEGMENT_DESCRIPTORS_MAX,
} from "../../../base/limits.ts"
import { u16, u32 } from "../../cdb/fields.ts"
import { invalidFieldInParameterList } from "../../sam/field-error.ts"
import { parameterListLengthError } from "../../sam/parameter-data.ts"
import { Asc, type SenseDetail, SenseError, SenseKey } from "../../spec/sense.ts"
import { CopyDescriptor, ListIdUsage } from "../../spec/third-party-copy.ts"
import { CSCD_DESCRIPTOR_BYTES, type Cscd, parseCscd } from "./cscd.ts"
import { parseSegment, type Segment, segmentBytes } from "./segment.ts"

/** What an EXTENDED COPY is told, in either format. */
export interface CopyParameters {
  readonly listId: number | undefined
  readonly immediate: boolean
  readonly cscds: readonly Cscd[]
  readonly segments: readonly Segment[]
}

/** The header's fields that both formats have. */
interface Header {
  readonly bytes: number
  readonly listId: number
  /** Where the length fields are. */
  readonly cscdLengthAt: number
  readonly segmentLengthAt: number
  readonly cscdLength: number
  readonly segmentLength: number
  readonly inlineLength: number
  readonly immediate: boolean
}

const LID1_HEADER_BYTES = 16
const LID4_HEADER_BYTES = 48
export const COPY_PARAMETERS_BYTES_MAX = LID4_HEADER_BYTES + COPY_DESCRIPTORS_BYTES_MAX
const LID4_FORMAT = 0x01
const HEADER_CSCD_TYPE = 0xff
const G_SENSE = 0x02
const IMMED = 0x01

/** The parameter list of EXTENDED COPY (LID1) (SPC-4 §6.5). Throws SenseError. */
export function parseLid1(list: Uint8Array): CopyParameters {
  if (list.length < LID1_HEADER_BYTES) throw parameterListLengthError("the header has 16 bytes")
  return parse(list, {
    bytes: LID1_HEADER_BYTES,
    listId: list[0]!,
    cscdLengthAt: 2,
    segmentLengthAt: 8,
    cscdLength: u16(list, 2),
    segmentLength: u32(list, 8),
    inlineLength: u32(list, 12),
    immediate: false,
  })
}

/** The parameter list of EXTENDED COPY (LID4) (SPC-4 §6.4.2). Throws SenseError. */
export function parseLid4(list: Uint8Array): CopyParameters {
  if (list.length < LID4_HEADER_BYTES) throw parameterListLengthError("the header has 48 bytes")
  if (list[0] !== LID4_FORMAT) throw invalidFieldInParameterList("PARAMETER LIST FORMAT is 01h", 0)
  if (u16(list, 2) !== CSCD_DESCRIPTOR_BYTES) {
    throw invalidFieldInParameterList("HEADER CSCD DESCRIPTOR LIST LENGTH is 0020h", 2)
  }
  const flags = list[15]!
  if ((flags & G_SENSE) !== 0) throw invalidFieldInParameterList("GOOD comes without sense data", 15, 1)
  if (list[16] !== HEADER_CSCD_TYPE) {
    throw invalidFieldInParameterList("HEADER CSCD DESCRIPTOR TYPE CODE is FFh", 16)
  }
  return parse(list, {
    bytes: LID4_HEADER_BYTES,
    listId: u32(list, 20),
    cscdLengthAt: 42,
    segmentLengthAt: 44,
    cscdLength: u16(list, 42),
    segmentLength: u16(list, 44),
    inlineLength: u16(list, 46),
    immediate: (flags & IMMED) !== 0,
  })
}

function parse(list: Uint8Array, header: Header): CopyParameters {
  const { bytes, cscdLength, segmentLength, inlineLength } = header
  if (cscdLength + segmentLength > COPY_DESCRIPTORS_BYTES_MAX) {
    throw parameterListLengthError(`all descriptors have at most ${COPY_DESCRIPTORS_BYTES_MAX} bytes`)
  }
  if (inlineLength > 0) throw illegal(Asc.inlineDataLengthExceeded, "no inline data is taken")
  if (list.length < bytes + cscdLength + segmentLength) {
    throw parameterListLengthError("the parameter list ends before its descriptors do")
  }
  const listId = listIdOf(list, header)
  const cscds = parseCscds(list, header)
  return { listId, immediate: header.immediate, cscds, segments: parseSegments(list, header) }
}

function listIdOf(list: Uint8Array, { bytes, listId, immediate }: Header): number | undefined {
  const usage = (list[1]! >> 3) & 0b11
  switch (usage) {
    case ListIdUsage.hold:
    case ListIdUsage.discard:
      return listId
    case ListIdUsage.none:
      if (listId !== 0) {
        const at = bytes === LID1_HEADER_BYTES ? 0 : 20
        throw invalidFieldInParameterList("without list identifier that field is 0", at)
      }
      // SPC-4 §6.4.2 would have INVALID FIELD IN CDB, but the field is in the parameter list.
      if (immediate) throw invalidFieldInParameterList("IMMED wants a list identifier", 1, 4)
      return undefined
    default:
      throw invalidFieldInParameterList("LIST ID USAGE 01b is reserved", 1, 4)
  }
}

function parseCscds(list: Uint8Array, { bytes, cscdLength, cscdLengthAt }: Header): Cscd[] {
  if (cscdLength % CSCD_DESCRIPTOR_BYTES !== 0) {
    throw invalidFieldInParameterList("CSCD descriptors have 32 bytes each", cscdLengthAt)
  }
  if (cscdLength / CSCD_DESCRIPTOR_BYTES > CSCD_DESCRIPTORS_MAX) {
    const field = { in: "parameters", byte: cscdLengthAt } as const
    throw illegal(Asc.tooManyTargetDescriptors, `there are at most ${CSCD_DESCRIPTORS_MAX}`, { field })
  }
  const cscds: Cscd[] = []
  for (let at = bytes; at < bytes + cscdLength; at += CSCD_DESCRIPTOR_BYTES) {
    if (list[at] !== CopyDescriptor.identification) {
      const field = { in: "parameters", byte: at } as const
      throw illegal(Asc.unsupportedTargetDescriptorType, `CSCD descriptor type ${list[at]}`, { field })
    }
    cscds.push(parseCscd(list, at))
  }
  return cscds
}

function parseSegments(list: Uint8Array, header: Header): Segment[] {
  const first = header.bytes + header.cscdLength
  const end = first + header.segmentLength
  const segments: Segment[] = []
  for (let at = first; at < end; ) {
    if (segments.length === SEGMENT_DESCRIPTORS_MAX) {
      const field = { in: "parameters", byte: header.segmentLengthAt } as const
      throw illegal(Asc.tooManySegmentDescriptors, `there are at most ${SEGMENT_DESCRIPTORS_MAX}`, { field })
    }
    const length = segmentBytes(list, at)
    if (length === undefined) {
      const field = { in: "parameters", byte: at } as const
      throw illegal(Asc.unsupportedSegmentDescriptorType, `segment descriptor type ${list[at]}`, { field })
    }
    if (at + length > end) throw parameterListLengthError("a segment descriptor is cut off")
    if (u16(list, at + 2) !== length - 4) {
      throw invalidFieldInParameterList(`DESCRIPTOR LENGTH is ${length - 4}`, at + 2)
    }
    segments.push(parseSegment(list, at))
    at += length
  }
  return segments
}

const illegal = (asc: Asc, message: string, detail?: SenseDetail): SenseError =>
  new SenseError(SenseKey.illegalRequest, asc, message, detail)
