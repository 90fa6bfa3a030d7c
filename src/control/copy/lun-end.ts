import type { Extent } from "../../backstore/index.ts"
import type { Disk } from "../../initiator/index.ts"
import { located } from "../located.ts"
import type { CopyEnd } from "./copy-end.ts"

/** A LUN as one end of a copy. */
export class LunEnd implements CopyEnd {
  readonly name: string
  /** What is on it is anybody's guess. */
  readonly blank = false
  readonly #disk: Disk
  /** Its holes are known, and read as zeroes. */
  #tellsHoles: boolean

  constructor(disk: Disk, name: string) {
    this.name = name
    this.#disk = disk
    this.#tellsHoles = disk.thin && disk.limits.unmappedReadZeroes
  }

  get sizeBytes(): number {
    return this.#disk.sizeBytes
  }

  get blockBytes(): number {
    return this.#disk.blockBytes
  }

  read(offsetBytes: number, into: Uint8Array): Promise<void> {
    return located(this.name, this.#disk.read(offsetBytes, into))
  }

  write(offsetBytes: number, from: Uint8Array): Promise<void> {
    return located(this.name, this.#disk.write(offsetBytes, from))
  }

  zero(offsetBytes: number, lengthBytes: number): Promise<void> {
    const { blockBytes } = this.#disk
    const zeroed = this.#disk.writeZeroes(offsetBytes / blockBytes, lengthBytes / blockBytes, { unmap: true })
    return located(this.name, zeroed)
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<readonly Extent[]> {
    const all = [{ offsetBytes, lengthBytes, allocated: true }]
    if (!this.#tellsHoles) return all
    const { blockBytes } = this.#disk
    try {
      const statuses = await this.#disk.getLbaStatus(offsetBytes / blockBytes)
      return statuses.map(({ lba, countBlocks, provisioning }) => ({
        offsetBytes: lba * blockBytes,
        lengthBytes: Math.min(countBlocks * blockBytes, offsetBytes + lengthBytes - lba * blockBytes),
        allocated: provisioning !== "deallocated",
      }))
    } catch (error) {
      // Thin, and yet without GET LBA STATUS: it is read, and its zeroes are found in the data.
      if ((error as { code?: string }).code !== "ERR_SCSI_CHECK_CONDITION") throw error
      this.#tellsHoles = false
      return all
    }
  }

  flush(): Promise<void> {
    return located(this.name, this.#disk.flush())
  }

  close(): Promise<void> {
    return this.#disk.close()
  }
}
