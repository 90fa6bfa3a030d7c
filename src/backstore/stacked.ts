import type { Completion, Eventually } from "../base/completion.ts"
import type { BlockDevice, BlockDeviceFeatures, Extent, MediaEncryption } from "./block-device.ts"

/** The kinds of operations a stacked device can treat differently. */
export type OperationKind = "read" | "write" | "flush" | "discard" | "writeZeroes"

export const OPERATION_KINDS: readonly OperationKind[] = ["read", "write", "flush", "discard", "writeZeroes"]

/** A device on top of another that passes everything on; it owns the one below and closes it. */
export abstract class StackedStore implements BlockDevice {
  readonly name: string
  protected readonly below: BlockDevice

  constructor(name: string, below: BlockDevice) {
    this.name = name
    this.below = below
  }

  get sizeBytes(): number {
    return this.below.sizeBytes
  }

  get features(): BlockDeviceFeatures {
    return this.below.features
  }

  read(offsetBytes: number, into: Uint8Array, task?: object): Completion {
    return this.below.read(offsetBytes, into, task)
  }

  write(offsetBytes: number, from: Uint8Array, fua: boolean, task?: object): Completion {
    return this.below.write(offsetBytes, from, fua, task)
  }

  flush(task?: object): Completion {
    return this.below.flush(task)
  }

  discard(offsetBytes: number, lengthBytes: number, task?: object): Completion {
    return this.below.discard(offsetBytes, lengthBytes, task)
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean, task?: object): Completion {
    return this.below.writeZeroes(offsetBytes, lengthBytes, fua, task)
  }

  extents(offsetBytes: number, lengthBytes: number, countMax: number): Eventually<Extent[]> {
    return this.below.extents(offsetBytes, lengthBytes, countMax)
  }

  get usedBytes(): (() => Eventually<number>) | undefined {
    const { below } = this
    return below.usedBytes && (() => below.usedBytes?.() ?? 0)
  }

  get encryption(): MediaEncryption | undefined {
    return this.below.encryption
  }

  cancel(task: object): void {
    this.below.cancel(task)
  }

  resize(sizeBytes: number): Promise<void> {
    return this.below.resize(sizeBytes)
  }

  onResize(listener: (sizeBytes: number) => void): () => void {
    return this.below.onResize(listener)
  }

  close(): Promise<void> {
    return this.below.close()
  }
}
