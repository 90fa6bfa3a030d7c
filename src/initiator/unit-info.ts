import * as cdb from "../scsi/cdb/index.ts"
import { Asc, SenseKey } from "../scsi/spec/sense.ts"
import { Status } from "../scsi/spec/status.ts"
import { ScsiError, type ScsiRequest, type ScsiResult } from "./command.ts"
import { DiskError } from "./errors.ts"

/** Carries out a command, past unit attentions and busy targets; rejects with ScsiError for any status but GOOD. */
export type Run = (request: ScsiRequest) => Promise<ScsiResult>

/** Standard INQUIRY data (SPC-4 §6.4.2). Texts are without their trailing spaces. */
export interface InquiryData {
  /** 0: a logical unit is there; 1: it could be; 3: it can't. */
  readonly peripheralQualifier: number
  /** 0: a block device. */
  readonly peripheralDeviceType: number
  readonly removable: boolean
  readonly version: number
  readonly vendor: string
  readonly product: string
  readonly revision: string
}

/** READ CAPACITY (SBC-3 §5.15, §5.16). */
export interface Capacity {
  readonly countBlocks: number
  readonly blockBytes: number
  readonly physicalBlockBytes: number
  /** LBPME: blocks can be unmapped. */
  readonly thin: boolean
}

/** What the logical unit says of itself that must not change (VPD pages 80h and 83h). */
export interface UnitIdentity {
  readonly serial: string | undefined
  /** The logical unit's own designators, as "naa.6..." or "eui...." and their kind, in the order they came. */
  readonly designators: readonly string[]
}

/** Block Limits (SBC-3 §6.6.4), 0: no limit named; and what provisioning allows (§6.6.5). */
export interface UnitLimits {
  readonly transferBlocks: number
  readonly optimalTransferBlocks: number
  /** 0: no COMPARE AND WRITE. */
  readonly compareAndWriteBlocks: number
  readonly unmapBlocks: number
  readonly unmapDescriptors: number
  readonly unmapGranularityBlocks: number
  readonly writeSameBlocks: number
  readonly unmap: boolean
  readonly writeSameUnmaps: boolean
  readonly unmappedReadZeroes: boolean
}

/** What MODE SENSE tells; where it isn't supported, the careful answer. */
export interface UnitModes {
  readonly writeProtected: boolean
  readonly dpoFua: boolean
  readonly writeCache: boolean
}

const latin = new TextDecoder("latin1")
const text = (data: Uint8Array, from: number, to: number): string =>
  latin.decode(data.subarray(from, to)).trimEnd()

async function fetch(
  run: Run,
  lun: number,
  bytes: number,
  command: (bytes: number) => Uint8Array,
): Promise<Uint8Array> {
  const dataIn = new Uint8Array(bytes)
  const result = await run({ lun, cdb: command(bytes), dataIn, replay: true })
  return dataIn.subarray(0, result.dataInBytes)
}

const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength)

/** Throws DiskError: an answer too short to mean anything. */
function atLeast(data: Uint8Array, bytes: number, what: string): Uint8Array {
  if (data.length < bytes) throw new DiskError("ERR_NOT_SUPPORTED", `${what}: only ${data.length} bytes came`)
  return data
}

export async function inquire(run: Run, lun: number): Promise<InquiryData> {
  const data = atLeast(await fetch(run, lun, 255, (bytes) => cdb.inquiry(bytes)), 36, "INQUIRY")
  return {
    peripheralQualifier: data[0]! >> 5,
    peripheralDeviceType: data[0]! & 0x1f,
    removable: (data[1]! & 0x80) !== 0,
    version: data[2]!,
    vendor: text(data, 8, 16),
    product: text(data, 16, 32),
    revision: text(data, 32, 36),
  }
}

/** A VPD page with its header; undefined: the logical unit doesn't have it. */
export async function vpdPage(run: Run, lun: number, page: number): Promise<Uint8Array | undefined> {
  let data: Uint8Array
  try {
    data = await fetch(run, lun, 1024, (bytes) => cdb.inquiry(bytes, page))
  } catch (error) {
    if (isUnsupported(error)) return undefined
    throw error
  }
  // Devices that don't look at EVPD send standard INQUIRY data.
  if (data.length < 4 || data[1] !== page) return undefined
  return data.subarray(0, Math.min(data.length, 4 + viewOf(data).getUint16(2)))
}

/** ILLEGAL REQUEST; or CHECK CONDITION without a word, which is how istgt answers what it doesn't know. */
function isUnsupported(error: unknown): boolean {
  if (!(error instanceof ScsiError) || error.status !== Status.checkCondition) return false
  const { sense } = error
  // A unit that is gone by now says nothing about what it has.
  return (
    sense === undefined ||
    (sense.key === SenseKey.illegalRequest && sense.asc !== Asc.logicalUnitNotSupported)
  )
}

export function isSense(error: unknown, key: number, asc?: number): boolean {
  const sense = (error as { sense?: { key: number; asc: number } }).sense
  return sense !== undefined && sense.key === key && (asc === undefined || sense.asc === asc)
}

export async function readCapacity(run: Run, lun: number): Promise<Capacity> {
  let data: Uint8Array
  try {
    data = atLeast(await fetch(run, lun, 32, cdb.readCapacity16), 16, "READ CAPACITY (16)")
  } catch (error) {
    if (!isUnsupported(error)) throw error
    return readCapacity10(run, lun)
  }
  const view = viewOf(data)
  const lastLba = view.getUint32(0) * 2 ** 32 + view.getUint32(4)
  const blockBytes = view.getUint32(8)
  return checked({
    countBlocks: lastLba + 1,
    blockBytes,
    physicalBlockBytes: blockBytes << (data[13]! & 0x0f),
    thin: (data[14]! & 0x80) !== 0,
  })
}

async function readCapacity10(run: Run, lun: number): Promise<Capacity> {
  const data = atLeast(await fetch(run, lun, 8, cdb.readCapacity10), 8, "READ CAPACITY (10)")
  const view = viewOf(data)
  const blockBytes = view.getUint32(4)
  return checked({
    countBlocks: view.getUint32(0) + 1,
    blockBytes,
    physicalBlockBytes: blockBytes,
    thin: false,
  })
}

/** What we can't count in bytes, or in whole blocks of a sane size, we don't touch. */
function checked(capacity: Capacity): Capacity {
  const { blockBytes, countBlocks } = capacity
  const sane = blockBytes >= 256 && blockBytes <= 1 << 20 && Number.isSafeInteger(blockBytes * countBlocks)
  if (sane) return capacity
  throw new DiskError("ERR_NOT_SUPPORTED", `a disk of ${countBlocks} blocks of ${blockBytes} bytes`)
}

export async function readIdentity(run: Run, lun: number): Promise<UnitIdentity> {
  const serialPage = await vpdPage(run, lun, 0x80)
  const identification = await vpdPage(run, lun, 0x83)
  const serial = serialPage ? text(serialPage, 4, serialPage.length).trim() : ""
  return {
    serial: serial === "" ? undefined : serial,
    designators: identification ? unitDesignators(identification) : [],
  }
}

const DESIGNATOR_TYPES = ["vendor", "t10", "eui", "naa", "port", "portgroup", "unitgroup", "md5", "scsi-name"]

/** The designators of the logical unit itself, not of port or target (SPC-4 §7.8.6). */
function unitDesignators(page: Uint8Array): string[] {
  const found: string[] = []
  for (let at = 4; at + 4 <= page.length; at += 4 + page[at + 3]!) {
    const codeSet = page[at]! & 0x0f
    const association = (page[at + 1]! >> 4) & 0x03
    const type = page[at + 1]! & 0x0f
    const value = page.subarray(at + 4, at + 4 + page[at + 3]!)
    if (association !== 0) continue
    const shown =
      codeSet === 1 ? Buffer.from(value).toString("hex") : text(value, 0, value.length).replace(/\0+$/, "")
    found.push(`${DESIGNATOR_TYPES[type] ?? type}.${shown}`)
  }
  return found
}

export async function readLimits(run: Run, lun: number): Promise<UnitLimits> {
  const limits = pad(await vpdPage(run, lun, 0xb0), 64)
  const provisioning = pad(await vpdPage(run, lun, 0xb2), 8)
  const view = viewOf(limits)
  const writeSame = view.getUint32(36) * 2 ** 32 + view.getUint32(40)
  return {
    transferBlocks: view.getUint32(8),
    optimalTransferBlocks: view.getUint32(12),
    compareAndWriteBlocks: view.getUint8(5),
    unmapBlocks: view.getUint32(20),
    unmapDescriptors: view.getUint32(24),
    unmapGranularityBlocks: view.getUint32(28),
    writeSameBlocks: writeSame,
    unmap: (provisioning[5]! & 0x80) !== 0,
    writeSameUnmaps: (provisioning[5]! & 0x40) !== 0,
    unmappedReadZeroes: (provisioning[5]! & 0x04) !== 0,
  }
}

function pad(page: Uint8Array | undefined, bytes: number): Uint8Array {
  const padded = new Uint8Array(bytes)
  if (page) padded.set(page.subarray(0, bytes))
  return padded
}

export async function readModes(run: Run, lun: number): Promise<UnitModes> {
  const CACHING = 0x08
  let data: Uint8Array
  try {
    data = await fetch(run, lun, 192, (bytes) =>
      cdb.modeSense6(CACHING, bytes, { withoutBlockDescriptors: true }),
    )
  } catch (error) {
    if (isUnsupported(error)) return { writeProtected: false, dpoFua: false, writeCache: true }
    throw error
  }
  const page = data.subarray(4 + (data[3] ?? 0))
  const specific = data[2] ?? 0
  const caching = ((page[0] ?? 0) & 0x3f) === CACHING
  return {
    writeProtected: (specific & 0x80) !== 0,
    dpoFua: (specific & 0x10) !== 0,
    writeCache: caching ? ((page[2] ?? 0) & 0x04) !== 0 : true,
  }
}

/** The LUNs a target has for us (SPC-4 §6.33), those of the simple kinds (SAM-5 §4.7.7). */
export async function reportLuns(run: Run): Promise<number[]> {
  let data = await fetch(run, 0, 4096, cdb.reportLuns)
  const listBytes = viewOf(atLeast(data, 8, "REPORT LUNS")).getUint32(0)
  if (listBytes + 8 > data.length && listBytes <= 16384 * 8)
    data = await fetch(run, 0, listBytes + 8, cdb.reportLuns)
  const luns: number[] = []
  for (let at = 8; at + 8 <= Math.min(data.length, 8 + listBytes); at += 8) {
    const field = viewOf(data).getUint16(at)
    if (field >> 14 <= 1) luns.push(field & 0x3fff)
  }
  return luns
}

/** Throws DiskError when this isn't a disk we can use. */
export function checkInquiry(lun: number, inquiry: InquiryData): void {
  const { peripheralQualifier, peripheralDeviceType: type } = inquiry
  if (peripheralQualifier !== 0) throw new DiskError("ERR_NO_UNIT", `there is no logical unit ${lun}`)
  if (type === 0x00 || type === 0x0e) return
  const names: Readonly<Record<number, string>> = { 1: "a tape", 5: "a CD/DVD", 0x0c: "a controller" }
  throw new DiskError(
    "ERR_NOT_SUPPORTED",
    `logical unit ${lun} is ${names[type] ?? `of type ${type}`}, not a disk`,
  )
}
