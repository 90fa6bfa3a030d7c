/** A target with disks to copy between, and what its initiators send. */
import { SeededRandom } from "../../../../../src/base/random.ts"
import { VirtualClock } from "../../../../../src/base/virtual-clock.ts"
import type { Nexus } from "../../../../../src/scsi/sam/nexus.ts"
import { ScsiTarget } from "../../../../../src/scsi/sam/scsi-target.ts"
import { DiskUnit, type DiskUnitOptions } from "../../../../../src/scsi/sbc/disk-unit.ts"
import { ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { TestTask, type TestTaskOptions, testNexus } from "../../../../suites/scsi-task.ts"
import { TestDevice } from "../test-device.ts"

export interface CopyDisk {
  readonly device: TestDevice
  readonly unit: DiskUnit
}

export type SendOptions = TestTaskOptions & { readonly nexus?: Nexus }

export class CopyBench {
  readonly clock = new VirtualClock()
  readonly target = new ScsiTarget({ clock: this.clock })
  readonly nexus = testNexus()
  readonly disks: CopyDisk[] = []
  /** Every task there was, the newest last. */
  readonly tasks: TestTask[] = []

  constructor(...disks: (DiskUnitOptions & { blocks?: number })[]) {
    for (const options of disks) this.addDisk(options)
    this.attach(this.nexus)
  }

  addDisk({ blocks = 64, ...options }: DiskUnitOptions & { blocks?: number }): CopyDisk {
    const lun = this.disks.length
    const device = new TestDevice(blocks * (options.logicalBlockBytes ?? 512))
    device.allocated.fill(1)
    const random = new SeededRandom(lun + 1)
    const unit = new DiskUnit(device, { clock: this.clock, random, ...options })
    this.target.addLogicalUnit(lun, unit)
    unit.control.descriptorSense = true
    const disk = { device, unit }
    this.disks.push(disk)
    return disk
  }

  disk(lun: number): CopyDisk {
    return this.disks[lun]!
  }

  /** A nexus without pending unit attentions. */
  attach(nexus: Nexus): Nexus {
    this.target.attachNexus(nexus)
    for (const { unit } of this.disks) while (unit.takeUnitAttention(nexus) !== undefined);
    return nexus
  }

  send(cdb: Uint8Array, { nexus = this.nexus, ...options }: SendOptions = {}): TestTask {
    const task = new TestTask(nexus, cdb, options)
    this.tasks.push(task)
    this.target.commandReceived(task)
    return task
  }

  run(cdb: Uint8Array, options?: SendOptions): Promise<TestTask> {
    return this.send(cdb, options).ended
  }

  /** Ends what waits at slow devices, one by one, until nothing does. */
  async finishAll(first: "oldest" | "newest" = "oldest"): Promise<void> {
    for (;;) {
      await settle()
      const busy = this.disks.find(({ device }) => device.waiting.length > 0)
      if (busy === undefined) return
      if (first === "oldest") busy.device.finishNext()
      else busy.device.waiting.pop()?.finish()
    }
  }

  /** The CSCD descriptor of a disk. */
  cscd(lun: number, options: CscdOptions = {}): Buffer {
    return cscdOf(this.disk(lun).unit, options)
  }
}

export interface CscdOptions {
  readonly pad?: boolean
  readonly blockBytes?: number
  readonly deviceType?: number
}

/** The identification descriptor CSCD descriptor of a unit. */
export function cscdOf(
  unit: DiskUnit,
  { pad = false, blockBytes, deviceType = 0 }: CscdOptions = {},
): Buffer {
  const naa = unit.identity.designators[0]!.bytes
  const descriptor = Buffer.alloc(32)
  descriptor.set([0xe4, deviceType, 0, 0, 1, 3, 0, naa.length])
  descriptor.set(naa, 8)
  descriptor[28] = pad ? 0x04 : 0
  descriptor.writeUIntBE(blockBytes ?? unit.blockBytes, 29, 3)
  return descriptor
}

/** Lets promise callbacks run. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export interface BlockSegment {
  readonly source?: number
  readonly destination?: number
  readonly blocks: number
  readonly from: number | bigint
  readonly to: number | bigint
  /** DC, CAT. */
  readonly flags?: number
}

/** Segment descriptor 02h. Source and destination are CSCD descriptors 0 and 1. */
export function blockSegment({
  source = 0,
  destination = 1,
  blocks,
  from,
  to,
  flags = 0,
}: BlockSegment): Buffer {
  const descriptor = Buffer.alloc(28)
  descriptor.set([0x02, flags, 0, 24])
  descriptor.writeUInt16BE(source, 4)
  descriptor.writeUInt16BE(destination, 6)
  descriptor.writeUInt16BE(blocks, 10)
  descriptor.writeBigUInt64BE(BigInt(from), 12)
  descriptor.writeBigUInt64BE(BigInt(to), 20)
  return descriptor
}

export interface ByteSegment {
  readonly source?: number
  readonly destination?: number
  readonly bytes: number
  readonly from: readonly [lba: number, byte: number]
  readonly to: readonly [lba: number, byte: number]
}

/** Segment descriptor 0Ah. */
export function byteSegment({ source = 0, destination = 1, bytes, from, to }: ByteSegment): Buffer {
  const descriptor = Buffer.alloc(32)
  descriptor.set([0x0a, 0, 0, 28])
  descriptor.writeUInt16BE(source, 4)
  descriptor.writeUInt16BE(destination, 6)
  descriptor.writeUInt32BE(bytes, 8)
  descriptor.writeBigUInt64BE(BigInt(from[0]), 12)
  descriptor.writeBigUInt64BE(BigInt(to[0]), 20)
  descriptor.writeUInt16BE(from[1], 28)
  descriptor.writeUInt16BE(to[1], 30)
  return descriptor
}

export interface ListOptions {
  readonly listId?: number
  /** LIST ID USAGE; default 00b. */
  readonly usage?: number
  readonly immediate?: boolean
}

/** The parameter list of EXTENDED COPY (LID1). */
export function lid1List(
  cscds: readonly Uint8Array[],
  segments: readonly Uint8Array[],
  { listId = 1, usage = 0 }: ListOptions = {},
): Buffer {
  const header = Buffer.alloc(16)
  header.set([listId, usage << 3])
  header.writeUInt16BE(Buffer.concat(cscds).length, 2)
  header.writeUInt32BE(Buffer.concat(segments).length, 8)
  return Buffer.concat([header, ...cscds, ...segments])
}

/** The parameter list of EXTENDED COPY (LID4). */
export function lid4List(
  cscds: readonly Uint8Array[],
  segments: readonly Uint8Array[],
  { listId = 1, usage = 0, immediate = false }: ListOptions = {},
): Buffer {
  const header = Buffer.alloc(48)
  header.set([0x01, usage << 3, 0, 0x20])
  header[15] = immediate ? 0x01 : 0
  header[16] = 0xff
  header.writeUInt32BE(listId, 20)
  header.writeUInt16BE(Buffer.concat(cscds).length, 42)
  header.writeUInt16BE(Buffer.concat(segments).length, 44)
  return Buffer.concat([header, ...cscds, ...segments])
}

export type Range = readonly [lba: number | bigint, blocks: number]

function rangeDescriptors(ranges: readonly Range[]): Buffer {
  const descriptors = Buffer.alloc(ranges.length * 16)
  ranges.forEach(([lba, blocks], i) => {
    descriptors.writeBigUInt64BE(BigInt(lba), i * 16)
    descriptors.writeUInt32BE(blocks, i * 16 + 8)
  })
  return descriptors
}

export interface PopulateOptions {
  readonly immediate?: boolean
  readonly timeoutSeconds?: number
  /** With RTV. */
  readonly rodType?: number
}

/** The parameter list of POPULATE TOKEN. */
export function populateList(ranges: readonly Range[], options: PopulateOptions = {}): Buffer {
  const header = Buffer.alloc(16)
  header.writeUInt16BE(14 + ranges.length * 16, 0)
  header[2] = (options.rodType === undefined ? 0 : 0x02) | (options.immediate ? 0x01 : 0)
  header.writeUInt32BE(options.timeoutSeconds ?? 0, 4)
  header.writeUInt32BE(options.rodType ?? 0, 8)
  header.writeUInt16BE(ranges.length * 16, 14)
  return Buffer.concat([header, rangeDescriptors(ranges)])
}

export interface WriteOptions {
  readonly immediate?: boolean
  readonly deleteToken?: boolean
  /** OFFSET INTO ROD, in blocks of the destination. */
  readonly offset?: number
}

/** The parameter list of WRITE USING TOKEN. */
export function writeList(token: Uint8Array, ranges: readonly Range[], options: WriteOptions = {}): Buffer {
  const header = Buffer.alloc(536)
  header.writeUInt16BE(534 + ranges.length * 16, 0)
  header[2] = (options.deleteToken ? 0x02 : 0) | (options.immediate ? 0x01 : 0)
  header.writeBigUInt64BE(BigInt(options.offset ?? 0), 8)
  header.set(token, 16)
  header.writeUInt16BE(ranges.length * 16, 534)
  return Buffer.concat([header, rangeDescriptors(ranges)])
}

/** The block device zero ROD token. */
export function zeroToken(): Buffer {
  const token = Buffer.alloc(512)
  token.writeUInt32BE(0xffff0001, 0)
  token.writeUInt16BE(0x01f8, 6)
  return token
}

// ---------------------------------------------------------------------------------------------------------------- CDBs

/** EXTENDED COPY; service action 0 is LID1, 1 LID4. */
export function extendedCopyCdb(serviceAction: number, listBytes: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb.set([0x83, serviceAction])
  cdb.writeUInt32BE(listBytes, 10)
  return cdb
}

/** POPULATE TOKEN (10h), WRITE USING TOKEN (11h). */
export function tokenCdb(serviceAction: number, listId: number, listBytes: number): Buffer {
  const cdb = extendedCopyCdb(serviceAction, listBytes)
  cdb.writeUInt32BE(listId, 6)
  return cdb
}

export function copyOperationAbort(listId: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb.set([0x83, ThirdPartyCopyOut.copyOperationAbort])
  cdb.writeUInt32BE(listId, 2)
  return cdb
}

/** RECEIVE COPY ... of a one byte list identifier (LID1), or of four bytes. */
export function receiveCdb(serviceAction: number, listId: number, allocation = 1024): Buffer {
  const cdb = Buffer.alloc(16)
  cdb.set([0x84, serviceAction])
  if (serviceAction < 5) cdb[2] = listId
  else cdb.writeUInt32BE(listId, 2)
  cdb.writeUInt32BE(allocation, 10)
  return cdb
}
