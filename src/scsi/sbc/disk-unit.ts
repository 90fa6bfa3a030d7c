import type { BlockDevice } from "../../backstore/block-device.ts"
import { SanletError } from "../../base/errors.ts"
import { COMMAND_TRANSFER_BYTES_MAX, TRANSFER_STEP_BYTES, WRITE_SAME_BYTES_MAX } from "../../base/limits.ts"
import { LogicalUnit } from "../sam/logical-unit.ts"
import type { Task } from "../sam/task.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import { diskCommands } from "./commands.ts"
import { invalidFieldInCdb, lengthFieldOf } from "./fields.ts"
import { Medium } from "./medium.ts"

export interface DiskUnitOptions {
  /** Default 512. A multiple of the device's alignment. */
  readonly logicalBlockBytes?: 512 | 4096
  /** Logical blocks per physical block, as a power of two: 0 to 15. Default 0. */
  readonly physicalBlockExponent?: number
  /** Unmapping is offered. Default: what the device can. */
  readonly thin?: boolean
  /** False: every write is made stable, although the device has a volatile cache. Default: what the device has. */
  readonly writeCache?: boolean
  /** Default: what the device is. */
  readonly readOnly?: boolean
  /** Rotations per minute, 1025 to 65534, or 1 for none at all. Default: 1, or 7200 where the device spins. */
  readonly rotationRate?: number
}

/** What VPD page B0h tells initiators, in logical blocks. */
export interface DiskLimits {
  readonly transferBlocks: number
  readonly writeSameBlocks: number
  readonly compareAndWriteBlocks: number
}

/**
 * A direct access block device (SBC-3) over a BlockDevice, whose bytes it divides into logical blocks; what is left
 * over at the end stays out of reach. Throws SanletError ERR_DISK_OPTION.
 */
export class DiskUnit extends LogicalUnit {
  readonly device: BlockDevice
  readonly medium: Medium
  /** In bytes: a power of two. */
  readonly blockBytes: number
  readonly physicalBlockExponent: number
  readonly thin: boolean
  readonly rotationRate: number
  readonly limits: DiskLimits
  readonly commands: ReturnType<typeof diskCommands>
  readonly #readOnly: boolean
  /** The capacity. */
  blocks: number
  /** By START STOP UNIT: media commands get NOT READY. */
  stopped = false
  /** A PRE-FETCH is reading although its command has ended. */
  prefetching = false

  constructor(device: BlockDevice, options: DiskUnitOptions = {}) {
    super()
    const { features } = device
    this.device = device
    this.blockBytes = options.logicalBlockBytes ?? 512
    this.physicalBlockExponent = options.physicalBlockExponent ?? 0
    this.thin = options.thin ?? features.discard
    this.rotationRate = options.rotationRate ?? (features.solidState ? 1 : 7200)
    this.#readOnly = options.readOnly ?? features.readOnly
    checkOptions(this, device)
    this.medium = new Medium(device, this.blockBytes)
    this.medium.writeThrough = features.writeCache && options.writeCache === false
    this.limits = {
      transferBlocks: COMMAND_TRANSFER_BYTES_MAX / this.blockBytes,
      writeSameBlocks: WRITE_SAME_BYTES_MAX / this.blockBytes,
      compareAndWriteBlocks: Math.min(255, TRANSFER_STEP_BYTES / 2 / this.blockBytes),
    }
    this.commands = diskCommands(this.thin)
    this.blocks = Math.floor(device.sizeBytes / this.blockBytes)
  }

  /** Of a command that wants the medium but moves no blocks. Throws SenseError. */
  checkReady(): void {
    if (this.stopped) throw notReady()
    if (this.blocks === 0)
      throw new SenseError(SenseKey.notReady, Asc.mediumNotPresent, "the device is empty")
  }

  checkWritable(): void {
    this.checkReady()
    if (this.#readOnly)
      throw new SenseError(SenseKey.dataProtect, Asc.writeProtected, "the device is read-only")
  }

  checkRange(lba: number, blocks: number): void {
    if (lba + blocks > this.blocks) throw this.outOfRange(lba)
  }

  /** Whether a transfer of the blocks may begin. */
  checkRead(task: Task, lba: number, blocks: number): void {
    if (this.stopped) throw notReady()
    if (lba + blocks > this.blocks) throw this.outOfRange(lba)
    if (blocks > this.limits.transferBlocks) throw this.#tooLong(task)
  }

  checkWrite(task: Task, lba: number, blocks: number): void {
    if (this.#readOnly) this.checkWritable()
    this.checkRead(task, lba, blocks)
  }

  /** LBA OUT OF RANGE; INFORMATION is the first block that isn't there (none where a Number can't tell it). */
  outOfRange(lba: number): SenseError {
    const message = `the device ends before the range from block ${lba} does`
    const first = Math.max(lba, this.blocks)
    const detail = Number.isSafeInteger(first) ? { information: first } : {}
    return new SenseError(SenseKey.illegalRequest, Asc.lbaOutOfRange, message, detail)
  }

  #tooLong(task: Task): SenseError {
    return invalidFieldInCdb(
      `at most ${this.limits.transferBlocks} blocks can be transferred at once`,
      lengthFieldOf(task.cdb),
    )
  }
}

const notReady = (): SenseError =>
  new SenseError(
    SenseKey.notReady,
    Asc.logicalUnitNotReadyInitializingCommandRequired,
    "the unit is stopped: START STOP UNIT starts it",
  )

function checkOptions(unit: DiskUnit, device: BlockDevice): void {
  const { blockBytes, physicalBlockExponent, rotationRate, thin } = unit
  const wrong = (message: string) => new SanletError("ERR_DISK_OPTION", `${device.name}: ${message}`)
  if (blockBytes !== 512 && blockBytes !== 4096)
    throw wrong(`a logical block has 512 or 4096 bytes, not ${blockBytes}`)
  const { alignmentBytes } = device.features
  if (blockBytes % alignmentBytes !== 0) {
    throw wrong(`logical blocks of ${blockBytes} bytes don't fit its alignment of ${alignmentBytes}`)
  }
  if (device.sizeBytes < blockBytes) throw wrong(`it is shorter than one block of ${blockBytes} bytes`)
  if (!Number.isInteger(physicalBlockExponent) || physicalBlockExponent < 0 || physicalBlockExponent > 15) {
    throw wrong(`the physical block exponent is 0 to 15, not ${physicalBlockExponent}`)
  }
  if (rotationRate !== 1 && !(rotationRate >= 1025 && rotationRate <= 65534)) {
    throw wrong(`the rotation rate is 1 (none) or 1025 to 65534, not ${rotationRate}`)
  }
  if (thin && !device.features.discard) throw wrong("it can't give space back, so it can't be thin")
}
