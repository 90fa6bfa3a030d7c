import type { BlockDevice } from "../../backstore/block-device.ts"
import { isProtected } from "../../backstore/protection/protected-device.ts"
import { PROTECTION_BYTES } from "../../backstore/protection/tuple.ts"
import { noMedium } from "../../backstore/no-medium.ts"
import { type Clock, systemClock } from "../../base/clock.ts"
import type { Completion } from "../../base/completion.ts"
import {
  ATOMIC_WRITE_BYTES_MAX,
  COMMAND_TRANSFER_BYTES_MAX,
  SELF_TEST_BYTES_PER_SECOND,
  TRANSFER_STEP_BYTES,
  WRITE_SAME_BYTES_MAX,
} from "../../base/limits.ts"
import type { Log } from "../../base/log.ts"
import { type Random, systemRandom } from "../../base/random.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import type { Command } from "../sam/command.ts"
import { LogicalUnit } from "../sam/logical-unit.ts"
import type { LogPage } from "../sam/log-page.ts"
import type { ModePage } from "../sam/mode-page.ts"
import type { ReservationStore } from "../sam/reservation-store.ts"
import { damagedPages, restorePages } from "../sam/saved-pages.ts"
import type { SelfTestRun } from "../sam/self-tests.ts"
import type { Task } from "../sam/task.ts"
import { type UnitRecords, VolatileRecords } from "../sam/unit-records.ts"
import { Asc, type Sense, type SenseDetail, SenseError, SenseKey } from "../spec/sense.ts"
import { diskCommands } from "./commands.ts"
import { CopyManager } from "./copy/copy-manager.ts"
import { checkDevice, checkOptions } from "./disk-checks.ts"
import { lengthFieldOf } from "./fields.ts"
import { completeIdentity, type DiskIdentity } from "./identity.ts"
import { Medium } from "./medium.ts"
import { diskLogPages } from "./log-pages.ts"
import { MediumOperations } from "./medium-operations.ts"
import { diskModePages } from "./mode-pages.ts"
import { type DiskProtection, protectionOf } from "./protection/disk-protection.ts"
import { DESCRIPTOR_IN_PAGE, exponentMin, ProvisioningThreshold } from "./provisioning-threshold.ts"
import { selfTest } from "./self-test.ts"
import { Tray } from "./tray.ts"
import { type UndoLog, VolatileUndoLog } from "./undo-log.ts"
import { UndoableWrites } from "./undoable-writes.ts"
import { diskVpdPages } from "./vpd.ts"

export interface DiskUnitOptions {
  readonly identity?: DiskIdentity
  /** Where an identity comes from that isn't given, and what makes ROD tokens hard to guess. */
  readonly random?: Random
  /** Default 512. A multiple of the device's alignment. 2048 is that of optical media. */
  readonly logicalBlockBytes?: 512 | 2048 | 4096
  /** Logical blocks per physical block, as a power of two: 0 to 15. Default 0. */
  readonly physicalBlockExponent?: number
  /** Unmapping is offered. Default: what the device can. */
  readonly thin?: boolean
  /** False: every write is made stable, although the device has a volatile cache. Default: what the device has. */
  readonly writeCache?: boolean
  /** Default: what the device is. */
  readonly readOnly?: boolean
  /** WRITE SAME of 0 blocks reaches to the end of the medium. Default: it is refused (WSNZ). */
  readonly writeSameToEnd?: boolean
  /** Rotations per minute, 1025 to 65534, or 1 for none at all. Default: 1, or 7200 where the device spins. */
  readonly rotationRate?: number
  /** Where persistent reservations outlive a loss of power. Absent: they don't, and APTPL is refused. */
  readonly reservationStore?: ReservationStore
  /**
   * The medium can be taken out and changed: see DiskUnit.tray. Default: false. What has to be remembered of a medium until
   * it has come to its end isn't offered then: atomic writes, SANITIZE, FORMAT UNIT.
   */
  readonly removable?: boolean
  /**
   * Where it keeps what must outlive a restart. Without, mode pages can't be saved and identifying information isn't offered,
   * nor are SANITIZE and FORMAT UNIT unless the device is volatile: a restart would forget that the medium is half sanitized.
   */
  readonly records?: UnitRecords
  /** Makes atomic writes possible; nothing may be pending in it. Without, they are offered on volatile devices only. */
  readonly undoLog?: UndoLog
  /** By which ROD tokens expire, sanitize operations take their pauses, and thresholds are looked at. */
  readonly clock?: Clock
  /** Where it tells of what it takes up again; later that of its ScsiTarget, unless there is one. */
  readonly log?: Log
}

/** What VPD page B0h tells initiators, in logical blocks. */
export interface DiskLimits {
  readonly transferBlocks: number
  readonly writeSameBlocks: number
  readonly compareAndWriteBlocks: number
  /** 0: no atomic write can be promised. */
  readonly atomicWriteBlocks: number
}

/**
 * A direct access block device (SBC-3) over a BlockDevice, whose bytes it divides into logical blocks; what is left
 * over at the end stays out of reach. Throws SanletError ERR_DISK_OPTION.
 */
export class DiskUnit extends LogicalUnit {
  /** Of a removable unit: the medium, or `noMedium`. */
  device: BlockDevice
  readonly medium: Medium
  /** Third-party copy: its operations, its tokens. */
  readonly copies: CopyManager
  /** Sanitize and format operations. */
  readonly operations: MediumOperations
  /** Of a thin unit whose device tells how much storage it takes. */
  readonly threshold: ProvisioningThreshold | undefined
  /** In bytes: a power of two. */
  readonly blockBytes: number
  readonly physicalBlockExponent: number
  readonly thin: boolean
  readonly writeSameToEnd: boolean
  readonly rotationRate: number
  override readonly removable: boolean
  /** Of a removable unit: by it the medium is ejected, loaded and changed. */
  readonly tray: Tray | undefined
  readonly limits: DiskLimits
  /** Where the device keeps protection information: the unit has the device's type. */
  override readonly protection: DiskProtection | undefined
  readonly commands: readonly Command[]
  readonly vpdPages = diskVpdPages
  readonly modePages: readonly ModePage[]
  override readonly logPages: readonly LogPage[] = diskLogPages
  readonly peripheralDeviceType: number = 0x00
  override readonly thirdPartyCopy: boolean = true
  /** SAM-5, iSCSI, SPC-4, SBC-3. */
  override readonly versionDescriptors: readonly number[] = [0x00a0, 0x0960, 0x0460, 0x04c0]
  /** WCE when nobody has changed it. */
  writeCacheDefault: boolean
  readonly #options: DiskUnitOptions
  #readOnly: boolean
  #stopFollowing: () => void
  /** The capacity. */
  blocks: number
  /** By START STOP UNIT, or since there is no medium: media commands get NOT READY. */
  stopped: boolean
  /** A PRE-FETCH is reading although its command has ended. */
  prefetching = false

  /** Without a device it is an empty removable one. */
  constructor(medium: BlockDevice | undefined, options: DiskUnitOptions = {}) {
    super(completeIdentity(options.identity, options.random), options.records)
    const device = medium ?? noMedium
    const { features } = device
    this.#options = options
    this.device = device
    this.removable = options.removable ?? false
    this.blockBytes = options.logicalBlockBytes ?? 512
    this.physicalBlockExponent = options.physicalBlockExponent ?? 0
    this.thin = options.thin ?? (medium !== undefined && features.discard)
    this.writeSameToEnd = options.writeSameToEnd ?? false
    this.rotationRate = options.rotationRate ?? (features.solidState ? 1 : 7200)
    this.#readOnly = options.readOnly ?? features.readOnly
    checkOptions(this, device)
    const clock = options.clock ?? systemClock
    // A medium may leave with what is pending; and to what is brought back protection information of ours would be added.
    const undoLog =
      this.removable || isProtected(device)
        ? undefined
        : (options.undoLog ?? (features.volatile ? new VolatileUndoLog() : undefined))
    this.medium = new Medium(device, this.blockBytes, undoLog && new UndoableWrites(device, undoLog))
    this.copies = new CopyManager(this, clock, options.random ?? systemRandom)
    this.tray = this.removable ? new Tray(this, medium, clock) : undefined
    this.stopped = medium === undefined
    this.writeCacheDefault = features.writeCache && options.writeCache !== false
    this.medium.writeThrough = features.writeCache && !this.writeCacheDefault
    this.protection = protectionOf(this)
    this.limits = {
      transferBlocks: COMMAND_TRANSFER_BYTES_MAX / this.blockBytes,
      writeSameBlocks: WRITE_SAME_BYTES_MAX / this.blockBytes,
      compareAndWriteBlocks: compareAndWriteBlocks(this),
      atomicWriteBlocks: undoLog ? ATOMIC_WRITE_BYTES_MAX / this.blockBytes : 0,
    }
    if (options.reservationStore) this.reservation.keepIn(options.reservationStore)
    const renewable =
      !this.removable && !this.#readOnly && (options.records !== undefined || features.volatile === true)
    this.commands = diskCommands({
      // Where nothing is ever written, UNMAP in all its forms is refused for that, as WRITE is.
      thin: this.thin || (this.#readOnly && !this.removable),
      atomicWrites: undoLog !== undefined,
      renewable,
      encrypted: device.encryption !== undefined,
      identifiable: options.records !== undefined,
      protectionType: this.protection?.type,
    })
    this.blocks = Math.floor(device.sizeBytes / this.blockBytes)
    this.#stopFollowing = this.#follow(device)
    const countable = this.thin && !this.removable && device.usedBytes !== undefined
    this.threshold = countable ? new ProvisioningThreshold(this, clock) : undefined
    this.modePages = diskModePages(countable)
    if (options.log) this.log = options.log
    restorePages(this)
    tellOfDamage(this)
    this.operations = new MediumOperations(this, options.records ?? new VolatileRecords(), clock)
    this.operations.resume()
  }

  /**
   * Lets go of the device, which stays open: its changes of size are no longer followed, and a sanitize operation stops,
   * to be taken up by whoever makes a unit of the device and the records again.
   */
  release(): void {
    this.#stopFollowing()
    this.operations.stop()
    this.threshold?.stop()
  }

  #follow(device: BlockDevice): () => void {
    return device.onResize((sizeBytes) => {
      this.blocks = Math.floor(sizeBytes / this.blockBytes)
      this.copies.tokens.cancelBeyond(sizeBytes)
      this.establishUnitAttention(Asc.capacityDataHasChanged)
    })
  }

  /** Whether a device can be the unit's. Throws SanletError ERR_DISK_OPTION. */
  checkMedium(device: BlockDevice): void {
    checkDevice(this, device)
  }

  /** The tray's: another device's blocks are the unit's from now on. Nothing uses the old one's. */
  mount(device: BlockDevice): void {
    const { writeCache = true, readOnly = device.features.readOnly } = this.#options
    this.#stopFollowing()
    this.copies.tokens.cancelBeyond(0)
    this.device = device
    this.medium.device = device
    this.#readOnly = readOnly
    // An initiator that has cleared WCE finds it cleared.
    const cleared = writeCache && this.medium.writeThrough
    this.writeCacheDefault = device.features.writeCache && writeCache
    this.medium.writeThrough = cleared || (device.features.writeCache && !writeCache)
    this.blocks = Math.floor(device.sizeBytes / this.blockBytes)
    this.#stopFollowing = this.#follow(device)
  }

  /** Media commands may go on. Throws SenseError where there is no medium. */
  start(): void {
    if (this.tray?.loaded === false) throw this.tray.notPresent()
    this.stopped = false
  }

  /** THRESHOLD EXPONENT: a threshold set is of 2 to the power of it logical blocks (SBC-3, VPD page B2h, log page 0Ch). */
  get thresholdExponent(): number {
    return this.threshold?.exponent ?? exponentMin(this.blocks)
  }

  /** WCE: acknowledged writes may be lost with the power. */
  get writeCacheEnabled(): boolean {
    return this.device.features.writeCache && !this.medium.writeThrough
  }

  get writeProtected(): boolean {
    return this.#readOnly || this.control.softwareWriteProtect
  }

  /** Of TEST UNIT READY, and of commands that want the medium but move no blocks. Throws SenseError. */
  override checkReady(): void {
    if (this.stopped) throw this.#notReady()
    if (this.blocks === 0)
      throw new SenseError(SenseKey.notReady, Asc.mediumNotPresent, "the device is empty")
  }

  override get stoppedSense(): Sense | undefined {
    return this.stopped && this.tray?.loaded !== false ? stoppedUnit() : undefined
  }

  checkWritable(): void {
    this.checkReady()
    if (!this.writeProtected) return
    const asc = this.#readOnly ? Asc.writeProtected : Asc.logicalUnitSoftwareWriteProtected
    throw new SenseError(SenseKey.dataProtect, asc, "the device is read-only")
  }

  checkRange(lba: number, blocks: number): void {
    if (lba + blocks > this.blocks) throw this.outOfRange(lba)
  }

  /** Whether a transfer of the blocks may begin. */
  checkRead(task: Task, lba: number, blocks: number): void {
    if (this.stopped) throw this.#notReady()
    if (lba + blocks > this.blocks) throw this.outOfRange(lba)
    if (blocks > this.limits.transferBlocks) throw this.#tooLong(task)
  }

  /** What is wrong with the CDB comes first; to write nothing is no error, also where nothing may be written. */
  checkWrite(task: Task, lba: number, blocks: number): void {
    this.checkRead(task, lba, blocks)
    if ((this.#readOnly || this.control.softwareWriteProtect) && blocks !== 0) this.checkWritable()
  }

  /** LBA OUT OF RANGE; INFORMATION is the first block that isn't there (none where a Number can't tell it). */
  outOfRange(lba: number): SenseError {
    const message = `the device ends before the range from block ${lba} does`
    const first = Math.max(lba, this.blocks)
    const detail = Number.isSafeInteger(first) ? { information: first } : {}
    return new SenseError(SenseKey.illegalRequest, Asc.lbaOutOfRange, message, detail)
  }

  // -------------------------------------------------------------------------------- hooks of LogicalUnit

  /** WP, and DPOFUA: both bits are accepted, and FUA is done (SBC-3, mode parameter header). */
  override deviceSpecificParameter(): number {
    return (this.writeProtected ? 0x80 : 0) | 0x10
  }

  /** SBC-3, mode parameter block descriptors: FFFFFFFFh blocks when the short form can't tell them. */
  override modeBlockDescriptor(long: boolean): Uint8Array {
    const descriptor = new Uint8Array(long ? 16 : 8)
    const view = new DataView(descriptor.buffer)
    if (long) view.setUint32(0, Math.floor(this.blocks / 2 ** 32))
    view.setUint32(long ? 4 : 0, long ? this.blocks >>> 0 : Math.min(this.blocks, 0xffff_ffff))
    view.setUint32(long ? 12 : 4, this.blockBytes)
    return descriptor
  }

  /** The capacity and the block length can't be chosen: 0 blocks, or all ones, stand for those there are. */
  override selectBlockDescriptor(descriptor: Uint8Array, long: boolean): void {
    const current = this.modeBlockDescriptor(long)
    const lengthAt = long ? 12 : 5
    const same = (at: number) => descriptor[at] === current[at]
    const countBytes = long ? 8 : 4
    const count = descriptor.subarray(0, countBytes)
    const kept = count.every((byte) => byte === 0) || count.every((byte) => byte === 0xff)
    if (!kept && !count.every((_, at) => same(at))) {
      throw invalidFieldInParameterList("the number of blocks can't be changed", 0)
    }
    for (let at = lengthAt; at < current.length; at++) {
      if (!same(at)) throw invalidFieldInParameterList("the block length can't be changed", lengthAt)
    }
  }

  /** Which threshold was crossed: there is one (SBC-4 §4.7.3.7.6). */
  override unitAttentionDetail(asc: number): SenseDetail {
    return asc === Asc.thinProvisioningSoftThresholdReached ? { information: DESCRIPTOR_IN_PAGE } : {}
  }

  override get volatileCache(): boolean {
    return this.device.features.writeCache
  }

  override selfTest(run: SelfTestRun): Completion {
    return selfTest(this, run)
  }

  override get extendedSelfTestSeconds(): number {
    return Math.max(1, Math.ceil((this.blocks * this.blockBytes) / SELF_TEST_BYTES_PER_SECOND))
  }

  protected override cancelSelfTest(run: SelfTestRun): void {
    this.device.cancel(run)
  }

  override cancelMedia(task: Task): void {
    this.device.cancel(task)
    this.copies.cancel(task)
    this.operations.forsake(task)
  }

  protected override onReset(): void {
    this.stopped = this.tray?.loaded === false
    this.copies.reset()
    this.threshold?.reset()
    this.medium.writeThrough = this.device.features.writeCache && !this.writeCacheDefault
  }

  #notReady(): SenseError {
    return this.tray?.loaded === false ? this.tray.notPresent() : stoppedUnit()
  }

  #tooLong(task: Task): SenseError {
    return invalidFieldInCdb(
      `at most ${this.limits.transferBlocks} blocks can be transferred at once`,
      lengthFieldOf(task.cdb),
    )
  }
}

/** Data-Out of COMPARE AND WRITE, with protection information, fits one step. */
const compareAndWriteBlocks = ({ blockBytes, protection }: DiskUnit): number => {
  const transferredBytes = blockBytes + (protection === undefined ? 0 : PROTECTION_BYTES)
  return Math.min(255, Math.floor(TRANSFER_STEP_BYTES / 2 / transferredBytes))
}

function tellOfDamage(unit: DiskUnit): void {
  const pages = damagedPages(unit)
  if (pages.length === 0) return
  unit.log.error(
    { device: unit.device.name, pages: pages.join(" ") },
    "saved mode pages can't be read: the disk is write-protected by software and written through until they are saved anew",
  )
}

const stoppedUnit = (): SenseError =>
  new SenseError(
    SenseKey.notReady,
    Asc.logicalUnitNotReadyInitializingCommandRequired,
    "the unit is stopped: START STOP UNIT starts it",
  )
