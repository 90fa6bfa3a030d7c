import { type BlockDevice, type BlockDeviceFeatures, BlockError } from "./block-device.ts"
import { checkRange } from "./range.ts"
import { StackedStore } from "./stacked.ts"

/** Another device that can only be read: everything that would change it fails with "read-only". */
export class ReadOnlyStore extends StackedStore {
  readonly #features: BlockDeviceFeatures

  constructor(below: BlockDevice) {
    super(`readonly(${below.name})`, below)
    this.#features = { ...below.features, readOnly: true, writeCache: false, discard: false }
  }

  override get features(): BlockDeviceFeatures {
    return this.#features
  }

  override write(offsetBytes: number, from: Uint8Array): never {
    return this.#refuse(offsetBytes, from.length)
  }

  override discard(offsetBytes: number, lengthBytes: number): never {
    return this.#refuse(offsetBytes, lengthBytes)
  }

  override writeZeroes(offsetBytes: number, lengthBytes: number): never {
    return this.#refuse(offsetBytes, lengthBytes)
  }

  /** Its key stays, too. */
  override get encryption(): undefined {
    return undefined
  }

  override async resize(): Promise<void> {
    throw new BlockError("read-only", `${this.name} can't change its size`)
  }

  #refuse(offsetBytes: number, lengthBytes: number): never {
    checkRange(this.name, this.sizeBytes, offsetBytes, lengthBytes)
    throw new BlockError("read-only", `${this.name} can't be written`, { offsetBytes })
  }
}
