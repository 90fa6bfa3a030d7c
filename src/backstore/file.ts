import fs, { constants } from "node:fs"
import os from "node:os"
import path from "node:path"
import { type Clock, systemClock } from "../base/clock.ts"
import { BlockError } from "./block-device.ts"
import { Descriptors, openForMode, readQueue } from "./descriptors.ts"
import { blockErrorOf, openErrorOf, StoreOpenError } from "./errors.ts"
import { type CacheMode, KernelStore, type KernelStoreSetup } from "./kernel-store.ts"
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, LOCK_EX, LOCK_NB, LOCK_SH, SEEK_DATA } from "./libc.ts"
import { checkSize, closedError } from "./range.ts"
import { type SystemCalls, systemCalls } from "./system-calls.ts"

export interface FileStoreOptions {
  /** The size in bytes: of a file that is created, or what an existing one must have. */
  readonly sizeBytes?: number
  /** Creates the file, sparse, when it doesn't exist or is empty; needs `sizeBytes`. */
  readonly create?: boolean
  /** Default: write-back. */
  readonly cache?: CacheMode
  readonly readOnly?: boolean
  /** For tests. */
  readonly clock?: Clock
  readonly system?: SystemCalls
}

/**
 * A device in a file, sparse where nothing was written. While it's open for writing no other store can open the
 * file (an advisory lock, flock(2), where the C library and the filesystem have it); readers share it.
 */
export class FileStore extends KernelStore {
  /** Rejects with StoreOpenError. */
  static async open(filePath: string, options: FileStoreOptions = {}): Promise<FileStore> {
    const system = options.system ?? (await systemCalls())
    const descriptors = new Descriptors(system, filePath)
    try {
      return new FileStore(await setUp(filePath, options, system, descriptors))
    } catch (error) {
      await descriptors.close()
      throw error
    }
  }

  private constructor(setup: KernelStoreSetup) {
    super(setup)
  }

  /**
   * Grows the file by a hole, or cuts it off, losing what was beyond. Rejects with BlockError: "no-space" beyond
   * what the filesystem allows, "out-of-range" for a size that can't be (direct: no multiple of the alignment).
   */
  override resize(sizeBytes: number): Promise<void> {
    return this.inTurn(() => this.#resize(sizeBytes))
  }

  async #resize(sizeBytes: number): Promise<void> {
    this.checkWritable()
    checkSize(this.name, sizeBytes)
    const { system, fd, cache, directAlignmentBytes } = this.setup
    if (cache === "direct" && sizeBytes % directAlignmentBytes !== 0) {
      const message = `${this.name}: with direct I/O the size must be a multiple of ${directAlignmentBytes} bytes`
      throw new BlockError("out-of-range", message)
    }
    await this.tracked(
      system.ftruncate(fd, sizeBytes).then((result) => {
        if (result < 0) throw blockErrorOf(result, this.name, "changing the size", sizeBytes)
        this.flusher.wrote()
        this.setSize(sizeBytes)
        return this.flusher.flush()
      }),
    )
  }

  /** What the filesystem has allocated for it, also for what it still has to place. Rejects with BlockError. */
  async usedBytes(): Promise<number> {
    if (this.isClosed) throw closedError(this.name)
    const found = await this.tracked(statusOf(this.setup.fd))
    if (typeof found === "number") throw blockErrorOf(found, this.name, "asking for its storage", 0)
    return found.blocks * STATUS_BLOCK_BYTES
  }

  protected override measure(): Promise<number> {
    return fileSize(this.setup.fd)
  }
}

async function setUp(
  filePath: string,
  options: FileStoreOptions,
  system: SystemCalls,
  descriptors: Descriptors,
): Promise<KernelStoreSetup> {
  const { cache = "write-back", readOnly = false } = options
  await checkOptions(filePath, options, system)
  const { fd, created } = await openOrCreate(filePath, options, descriptors)
  await lock(system, filePath, fd, readOnly)
  try {
    const sizeBytes = await settleSize(filePath, options, system, fd)
    const files = await openForMode(descriptors, fd, cache, readOnly)
    const directAlignmentBytes = directAlignment(system, files.fd)
    if (cache === "direct" && sizeBytes % directAlignmentBytes !== 0)
      throw new StoreOpenError(
        "size",
        filePath,
        `direct I/O needs a size that is a multiple of ${directAlignmentBytes} bytes, not ${sizeBytes}`,
      )
    const status = await fs.promises.stat(filePath, { bigint: true })
    return {
      ...files,
      name: filePath,
      system,
      descriptors: descriptors.list,
      sizeBytes,
      readOnly,
      cache,
      discard: !readOnly && (await canPunchHoles(system, files.fd, sizeBytes)),
      discardGranularityBytes: Number(status.blksize),
      extents: await canFindHoles(system, files.fd),
      solidState: (await readQueue(status.dev, "rotational")) !== 1,
      fallocateUnitBytes: 1,
      directAlignmentBytes,
      clock: options.clock ?? systemClock,
    }
  } catch (error) {
    if (created) await fs.promises.unlink(filePath).catch(() => {}) // ours: it's new and we hold the lock
    throw error
  }
}

async function checkOptions(filePath: string, options: FileStoreOptions, system: SystemCalls): Promise<void> {
  const { sizeBytes, create = false, readOnly = false } = options
  if (sizeBytes !== undefined && !(Number.isSafeInteger(sizeBytes) && sizeBytes > 0))
    throw new StoreOpenError("size", filePath, `${sizeBytes} can't be a size in bytes`)
  if (create && sizeBytes === undefined)
    throw new StoreOpenError("size", filePath, "creating it needs a size")
  if (create && readOnly)
    throw new StoreOpenError("unsupported", filePath, "can't be created for reading only")
  if (options.cache === "direct" && !system.libc)
    throw new StoreOpenError("unsupported", filePath, "direct I/O needs Linux and the koffi package")
  // Looked at before it's opened, because opening a FIFO would wait for its other end.
  const status = await fs.promises.stat(filePath).catch(() => undefined)
  if (status?.isBlockDevice())
    throw new StoreOpenError("wrong-kind", filePath, "is a block device, not a file")
  if (status && !status.isFile()) throw new StoreOpenError("wrong-kind", filePath, "is not a regular file")
}

async function openOrCreate(
  filePath: string,
  { create = false, readOnly = false }: FileStoreOptions,
  descriptors: Descriptors,
): Promise<{ fd: number; created: boolean }> {
  if (create) {
    const fd = await descriptors.tryOpen(constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
    if (fd >= 0) return { fd, created: true }
    if (fd !== -os.constants.errno.EEXIST) throw openErrorOf(fd, filePath)
  }
  return { fd: await descriptors.open(readOnly ? constants.O_RDONLY : constants.O_RDWR), created: false }
}

async function lock(system: SystemCalls, filePath: string, fd: number, readOnly: boolean): Promise<void> {
  const result = await system.libc?.flock(fd, (readOnly ? LOCK_SH : LOCK_EX) | LOCK_NB)
  if (result === -os.constants.errno.EWOULDBLOCK)
    throw new StoreOpenError("in-use", filePath, "in use by another process, or served twice by this one")
}

/** The device's size, after giving a new file the one asked for. What is to be created is stable then, its name as well. */
async function settleSize(
  filePath: string,
  { sizeBytes, create = false }: FileStoreOptions,
  system: SystemCalls,
  fd: number,
): Promise<number> {
  const found = await fileSize(fd)
  if (found < 0) throw openErrorOf(found, filePath)
  if (create && sizeBytes !== undefined && (found === 0 || found === sizeBytes)) {
    // Also one that was there: whoever made it may have been killed before it was stable.
    const sync = () => system.fsync(fd)
    const steps = found === 0 ? [() => system.ftruncate(fd, sizeBytes), sync] : [sync]
    for (const step of steps) {
      const result = await step()
      if (result < 0) throw openErrorOf(result, filePath)
    }
    await syncDirectory(filePath, system)
    return sizeBytes
  }
  if (found === 0) throw new StoreOpenError("size", filePath, "is empty")
  if (sizeBytes !== undefined && found !== sizeBytes)
    throw new StoreOpenError("size", filePath, `has ${found} bytes, not the ${sizeBytes} asked for`)
  return found
}

/** A new file's name is stable only once its directory is. Some network filesystems can't; theirs are anyway. */
async function syncDirectory(filePath: string, system: SystemCalls): Promise<void> {
  const directory = path.dirname(path.resolve(filePath))
  const fd = await system.open(directory, constants.O_RDONLY)
  if (fd < 0) return
  const result = await system.fsync(fd)
  await system.close(fd)
  const { EINVAL, EOPNOTSUPP } = os.constants.errno
  if (result < 0 && result !== -EINVAL && result !== -EOPNOTSUPP) throw openErrorOf(result, directory)
}

/** st_blocks of stat(2) counts in these, whatever the filesystem's own blocks are. */
const STATUS_BLOCK_BYTES = 512

/** A negative errno when it fails. */
function statusOf(fd: number): Promise<fs.Stats | number> {
  return new Promise((resolve) => {
    fs.fstat(fd, (error, status) => resolve(error ? (error.errno ?? -os.constants.errno.EIO) : status))
  })
}

/** In bytes, or a negative errno. */
async function fileSize(fd: number): Promise<number> {
  const found = await statusOf(fd)
  return typeof found === "number" ? found : found.size
}

/** Punching a hole beyond the end changes nothing and tells whether the filesystem knows how. */
async function canPunchHoles(system: SystemCalls, fd: number, sizeBytes: number): Promise<boolean> {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
  return (await system.libc?.fallocate(fd, mode, sizeBytes, 4096)) === 0
}

async function canFindHoles(system: SystemCalls, fd: number): Promise<boolean> {
  const result = await system.libc?.lseek(fd, 0, SEEK_DATA)
  return result !== undefined && (result >= 0 || result === -os.constants.errno.ENXIO)
}

/** 4096 is a multiple of what any current disk asks for. */
function directAlignment(system: SystemCalls, fd: number): number {
  const alignment = system.libc?.directAlignment(fd)
  return alignment ? Math.max(alignment.memory, alignment.offset) : 4096
}
