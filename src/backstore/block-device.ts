import type { Completion, Eventually } from "../base/completion.ts"
import { SanletError } from "../base/errors.ts"

/** What went wrong with a block device, in words the SCSI layer turns into sense data. */
export type BlockErrorCause =
  | "out-of-range" // offset or length beyond the device: a bug of the caller
  | "read-only"
  | "no-space" // ENOSPC, EDQUOT: the data was not written
  | "io" // EIO, a short read, anything else the medium does
  | "write-lost" // an fsync failed: what was acknowledged before may be gone, and the device refuses writes
  | "cancelled" // by BlockDevice.cancel, before it took effect
  | "closed"

const codes: Readonly<Record<BlockErrorCause, string>> = {
  "out-of-range": "ERR_BLOCK_OUT_OF_RANGE",
  "read-only": "ERR_BLOCK_READ_ONLY",
  "no-space": "ERR_BLOCK_NO_SPACE",
  io: "ERR_BLOCK_IO",
  "write-lost": "ERR_BLOCK_WRITE_LOST",
  cancelled: "ERR_BLOCK_CANCELLED",
  closed: "ERR_BLOCK_CLOSED",
}

export class BlockError extends SanletError {
  readonly reason: BlockErrorCause
  /** Where the failure is, in bytes from the start of the device, when that is known. */
  readonly offsetBytes: number | undefined

  constructor(reason: BlockErrorCause, message: string, options?: ErrorOptions & { offsetBytes?: number }) {
    super(codes[reason], message, options)
    this.reason = reason
    this.offsetBytes = options?.offsetBytes
  }
}

export interface BlockDeviceFeatures {
  /** Writes are refused with "read-only". */
  readonly readOnly: boolean
  /** Acknowledged writes may be lost with the power until `flush`: what WCE tells the initiator. */
  readonly writeCache: boolean
  /** `discard` gives space back; what is discarded reads as zeroes afterwards. */
  readonly discard: boolean
  /** Smallest and aligning unit of `discard` that frees anything, in bytes (1 when it doesn't matter). */
  readonly discardGranularityBytes: number
  /** `extents` tells real holes. */
  readonly extents: boolean
  /** Every offset and length must be a multiple of this, in bytes: 1 for files, 512 or 4096 for O_DIRECT. */
  readonly alignmentBytes: number
  /** What it holds ends with the process, so that nothing can be found half done after a crash. Absent: false. */
  readonly volatile?: boolean
  /** Spinning (false): what VPD page B1h says of the medium's rotation. */
  readonly solidState: boolean
}

/** A run of a device, with or without storage behind it (a hole reads as zeroes). */
export interface Extent {
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly allocated: boolean
}

/** What a device that encrypts can do with the key of its medium. */
export interface MediaEncryption {
  /**
   * Cryptographic erase: a new media key takes the place of the old one, of which nothing is left when it ends. What was
   * written before can't be read any more; what is read instead is uncertain until it is written, or discarded. Rejects
   * with BlockError; reads and writes fail from then on, until it is done again or the device is opened anew.
   */
  renewKey(): Promise<void>
  /**
   * Encrypts what is kept of the content elsewhere, for as long as the media key stays: whole units of 512 bytes, told apart by
   * their number. Returns memory of its own.
   */
  seal(firstUnit: number, bytes: Uint8Array): Uint8Array
  /** Decrypts it in place. */
  unseal(firstUnit: number, bytes: Uint8Array): void
}

/**
 * A run of bytes that keeps what is written to it: the seam between the SCSI engine and storage. It knows no
 * SCSI. Offsets and lengths are in bytes, whole Numbers below 2^53.
 *
 * An operation that can end at once returns nothing, else a promise; it fails by throwing or rejecting with a
 * BlockError and with nothing else. Operations may run at the same time in any number; those that overlap have
 * no order among themselves. The memory passed in belongs to the device until the operation ends.
 *
 * Durability: a write is acknowledged when the operating system has it; with `fua`, and after `flush`, it
 * survives the loss of power. After a flush that failed every write is refused ("write-lost") until the device is
 * opened anew, because nobody can know what the system dropped.
 *
 * `task` names who asks, for `cancel`; devices that never wait on their own account ignore it.
 */
export interface BlockDevice {
  /** For people: a path, "memory", "delay(disk.img)". */
  readonly name: string
  readonly sizeBytes: number
  readonly features: BlockDeviceFeatures
  read(offsetBytes: number, into: Uint8Array, task?: object): Completion
  write(offsetBytes: number, from: Uint8Array, fua: boolean, task?: object): Completion
  /** Everything acknowledged before the call is stable after it. */
  flush(task?: object): Completion
  /** The run reads as zeroes afterwards and its storage is given back as far as the granularity allows. */
  discard(offsetBytes: number, lengthBytes: number, task?: object): Completion
  /** Makes the run read as zeroes and keeps its storage (writes to it can't run out of space afterwards). */
  writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean, task?: object): Completion
  /**
   * Copies a run of `source`, perhaps this device itself, without its passing through here; the two runs don't overlap.
   * False: it can't, and some of the run may have been copied. Absent: it never can.
   */
  copyFrom?(
    source: BlockDevice,
    sourceOffsetBytes: number,
    offsetBytes: number,
    lengthBytes: number,
    task?: object,
  ): Eventually<boolean>
  /** The extents covering [offset, offset+length), in order, at most `countMax` of them, neighbours differing. */
  extents(offsetBytes: number, lengthBytes: number, countMax: number): Eventually<Extent[]>
  /** Storage it takes now, in bytes; absent where it can't tell. */
  readonly usedBytes?: (() => Eventually<number>) | undefined
  /** Of a device that encrypts what it holds. */
  readonly encryption?: MediaEncryption | undefined
  /** Ends what waits on behalf of `task` with "cancelled"; what the system already has goes on to its end. */
  cancel(task: object): void
  /** Changes the size; throws BlockError when it can't. Listeners of `onResize` are told. */
  resize(sizeBytes: number): Promise<void>
  /** Called after each change of size. Returns how to stop listening. */
  onResize(listener: (sizeBytes: number) => void): () => void
  /** Flushes and closes. Later operations fail with "closed". */
  close(): Promise<void>
}
