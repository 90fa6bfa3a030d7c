import { type FileHandle, open } from "node:fs/promises"
import { dirname } from "node:path"
import { ATOMIC_WRITE_BYTES_MAX, SCRATCH_BYTES } from "../../base/limits.ts"
import type { UndoLog, UndoRun } from "../../scsi/sbc/undo-log.ts"
import { crc32c } from "../../wire/crc32c.ts"
import { syncFolder } from "../durable-file.ts"
import { unusable } from "./unit-folder.ts"

/**
 * The head of the file; the run's old content begins a page further on.
 *
 *      0  "SANLETUN"         8  offset in the medium (u64)
 *     16  length (u32)      20  CRC-32C of the content (u32)
 *     24  0                 28  CRC-32C of the 28 bytes before
 */
const HEAD_BYTES = 32
const CONTENT_AT = 4096
const MAGIC = 0x53414e4c4554554en

/** An UndoLog in a file. Its head is written after the content, and vouches for it: what doesn't fit it isn't pending. */
export class FileUndoLog implements UndoLog {
  readonly #path: string
  readonly #file: FileHandle
  #pending: UndoRun | undefined
  #appendedBytes = 0
  #crc = 0

  private constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }

  /** Makes the file where there is none. Rejects with SanletError ERR_STATE_FOLDER. */
  static async open(path: string): Promise<FileUndoLog> {
    try {
      const file = (await opened(path, "r+")) ?? (await open(path, "wx+", 0o600))
      await syncFolder(dirname(path))
      return await FileUndoLog.#of(path, file)
    } catch (error) {
      throw unusable(dirname(path), error as NodeJS.ErrnoException)
    }
  }

  /** To be looked at only; undefined: there is none. Rejects with SanletError ERR_STATE_FOLDER. */
  static async openExisting(path: string): Promise<FileUndoLog | undefined> {
    try {
      const file = await opened(path, "r")
      return file && (await FileUndoLog.#of(path, file))
    } catch (error) {
      throw unusable(dirname(path), error as NodeJS.ErrnoException)
    }
  }

  static async #of(path: string, file: FileHandle): Promise<FileUndoLog> {
    const log = new FileUndoLog(path, file)
    log.#pending = await log.#readHead()
    return log
  }

  get pending(): UndoRun | undefined {
    return this.#pending
  }

  append(piece: Uint8Array): Promise<void> {
    return this.#attempt(async () => {
      await this.#write(piece, CONTENT_AT + this.#appendedBytes)
      this.#appendedBytes += piece.length
      this.#crc = crc32c(piece, 0, piece.length, this.#crc)
    })
  }

  commit({ offsetBytes, lengthBytes }: UndoRun): Promise<void> {
    return this.#attempt(async () => {
      const head = new Uint8Array(HEAD_BYTES)
      const view = new DataView(head.buffer)
      view.setBigUint64(0, MAGIC)
      view.setBigUint64(8, BigInt(offsetBytes))
      view.setUint32(16, lengthBytes)
      view.setUint32(20, this.#crc)
      view.setUint32(28, crc32c(head, 0, 28))
      await this.#write(head, 0)
      await this.#file.datasync()
      this.#pending = { offsetBytes, lengthBytes }
    })
  }

  read(at: number, into: Uint8Array): Promise<void> {
    return this.#attempt(() => this.#readAt(into, CONTENT_AT + at))
  }

  clear(): Promise<void> {
    return this.#attempt(async () => {
      await this.#write(new Uint8Array(HEAD_BYTES), 0)
      await this.#file.datasync()
      this.#pending = undefined
      this.#appendedBytes = 0
      this.#crc = 0
    })
  }

  wipe(): Promise<void> {
    return this.#attempt(async () => {
      const zeroes = new Uint8Array(SCRATCH_BYTES)
      for (let at = 0; at < ATOMIC_WRITE_BYTES_MAX; at += zeroes.length)
        await this.#write(zeroes, CONTENT_AT + at)
      await this.#file.datasync()
    })
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #readHead(): Promise<UndoRun | undefined> {
    const head = new Uint8Array(HEAD_BYTES)
    const { bytesRead } = await this.#file.read(head, 0, HEAD_BYTES, 0)
    const view = new DataView(head.buffer)
    if (bytesRead < HEAD_BYTES || view.getBigUint64(0) !== MAGIC) return undefined
    if (view.getUint32(28) !== crc32c(head, 0, 28)) return undefined
    const run = { offsetBytes: Number(view.getBigUint64(8)), lengthBytes: view.getUint32(16) }
    return (await this.#contentCrc(run.lengthBytes)) === view.getUint32(20) ? run : undefined
  }

  /** Undefined: the content isn't all there. */
  async #contentCrc(lengthBytes: number): Promise<number | undefined> {
    const { size } = await this.#file.stat()
    if (size < CONTENT_AT + lengthBytes) return undefined
    const piece = new Uint8Array(SCRATCH_BYTES)
    let crc = 0
    for (let at = 0; at < lengthBytes; at += piece.length) {
      const part = piece.subarray(0, lengthBytes - at)
      await this.#readAt(part, CONTENT_AT + at)
      crc = crc32c(part, 0, part.length, crc)
    }
    return crc
  }

  async #readAt(into: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await this.#file.read(into, done, into.length - done, position + done)
      if (bytesRead === 0) throw new Error(`${this.#path} ends at byte ${position + done}`)
      done += bytesRead
    }
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
    }
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      throw unusable(dirname(this.#path), error as NodeJS.ErrnoException)
    }
  }
}

/** Undefined: there is no such file. */
const opened = (path: string, flags: "r" | "r+"): Promise<FileHandle | undefined> =>
  open(path, flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error
    return undefined
  })
