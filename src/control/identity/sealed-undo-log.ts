import type { MediaEncryption } from "../../backstore/index.ts"
import type { UndoLog, UndoRun } from "../../scsi/sbc/undo-log.ts"

const UNIT_BYTES = 512

/** The undo log of a device that encrypts: what it holds of the medium is as unreadable as the medium. */
export class SealedUndoLog implements UndoLog {
  readonly #log: UndoLog
  readonly #encryption: MediaEncryption
  #appendedBytes = 0

  constructor(log: UndoLog, encryption: MediaEncryption) {
    this.#log = log
    this.#encryption = encryption
  }

  get pending(): UndoRun | undefined {
    return this.#log.pending
  }

  /** Pieces are whole logical blocks, and so are the runs read back. */
  async append(piece: Uint8Array): Promise<void> {
    const sealed = this.#encryption.seal(this.#appendedBytes / UNIT_BYTES, piece)
    this.#appendedBytes += piece.length
    await this.#log.append(sealed)
  }

  commit(run: UndoRun): Promise<void> {
    return this.#log.commit(run)
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    await this.#log.read(at, into)
    this.#encryption.unseal(at / UNIT_BYTES, into)
  }

  async clear(): Promise<void> {
    this.#appendedBytes = 0
    await this.#log.clear()
  }

  wipe(): Promise<void> {
    return this.#log.wipe()
  }
}
