import fs, { constants } from "node:fs"
import { type Clock, systemClock } from "../base/clock.ts"
import { BlockError } from "./block-device.ts"
import { Descriptors, openForMode, readQueue, readSectors } from "./descriptors.ts"
import { openErrorOf, StoreOpenError } from "./errors.ts"
import { type CacheMode, KernelStore, type KernelStoreSetup } from "./kernel-store.ts"
import { SEEK_END } from "./libc.ts"
import { type SystemCalls, systemCalls } from "./system-calls.ts"

export interface BlockSpecialStoreOptions {
  /** Default: write-back. */
  readonly cache?: CacheMode
  readonly readOnly?: boolean
  /** For tests. */
  readonly clock?: Clock
  readonly system?: SystemCalls
}

/** sysfs counts sizes in these, whatever the disk's blocks are. */
const SECTOR_BYTES = 512

/**
 * A device on a block special file: a disk, a partition, a logical volume, a loop device. While it's open for
 * writing the system keeps others from opening it exclusively or mounting it (O_EXCL), and refuses it when they
 * already have.
 */
export class BlockSpecialStore extends KernelStore {
  /** Rejects with StoreOpenError. */
  static async open(path: string, options: BlockSpecialStoreOptions = {}): Promise<BlockSpecialStore> {
    const system = options.system ?? (await systemCalls())
    const descriptors = new Descriptors(system, path)
    try {
      const { setup, device } = await setUp(path, options, system, descriptors)
      return new BlockSpecialStore(setup, device)
    } catch (error) {
      await descriptors.close()
      throw error
    }
  }

  readonly #device: bigint

  private constructor(setup: KernelStoreSetup, device: bigint) {
    super(setup)
    this.#device = device
  }

  /** Always rejects with "io": its size is changed where the disk is managed, then `refreshSize` sees it. */
  override async resize(): Promise<void> {
    this.checkWritable()
    throw new BlockError("io", `${this.name}: a block device can't be resized from here`)
  }

  protected override measure(): Promise<number> {
    return measure(this.setup.system, this.setup.fd, this.#device)
  }
}

async function measure(system: SystemCalls, fd: number, device: bigint): Promise<number> {
  if (system.libc) return system.libc.lseek(fd, 0, SEEK_END)
  return ((await readSectors(device)) ?? 0) * SECTOR_BYTES
}

async function setUp(
  path: string,
  options: BlockSpecialStoreOptions,
  system: SystemCalls,
  descriptors: Descriptors,
): Promise<{ setup: KernelStoreSetup; device: bigint }> {
  const { cache = "write-back", readOnly = false } = options
  if (cache === "direct" && !system.libc)
    throw new StoreOpenError("unsupported", path, "direct I/O needs Linux and the koffi package")
  const status = await fs.promises.stat(path, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    throw openErrorOf(error.errno ?? 0, path)
  })
  if (!status.isBlockDevice()) throw new StoreOpenError("wrong-kind", path, "is not a block device")
  const device = status.rdev
  const claimed = await descriptors.open(readOnly ? constants.O_RDONLY : constants.O_RDWR | constants.O_EXCL)
  const sizeBytes = await measure(system, claimed, device)
  if (sizeBytes < 0) throw openErrorOf(sizeBytes, path)
  if (sizeBytes === 0) throw new StoreOpenError("size", path, "has no medium (its size is 0)")
  const blockBytes = (await readQueue(device, "logical_block_size")) ?? SECTOR_BYTES
  const setup: KernelStoreSetup = {
    ...(await openForMode(descriptors, claimed, cache, readOnly)),
    name: path,
    system,
    descriptors: descriptors.list,
    sizeBytes,
    readOnly,
    cache,
    discard: !readOnly && system.libc !== undefined && (await discardZeroes(device)),
    discardGranularityBytes: (await readQueue(device, "discard_granularity")) || blockBytes,
    extents: false,
    solidState: (await readQueue(device, "rotational")) !== 1,
    fallocateUnitBytes: blockBytes,
    directAlignmentBytes: blockBytes,
    clock: options.clock ?? systemClock,
  }
  return { setup, device }
}

/**
 * Punching a hole in a block device is its "write zeroes, unmapping": unlike BLKDISCARD, which may leave anything
 * behind, it promises zeroes. The kernel refuses it where the disk can't, so both must be there.
 */
async function discardZeroes(device: bigint): Promise<boolean> {
  const discardBytes = await readQueue(device, "discard_max_bytes")
  const zeroesBytes = await readQueue(device, "write_zeroes_max_bytes")
  return (discardBytes ?? 0) > 0 && (zeroesBytes ?? 0) > 0
}
