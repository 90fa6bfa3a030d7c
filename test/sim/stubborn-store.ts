import type { BlockDevice } from "../../src/backstore/block-device.ts"
import { StackedStore } from "../../src/backstore/index.ts"
import type { Clock } from "../../src/base/clock.ts"
import type { SeededRandom } from "../../src/base/random.ts"

/**
 * A slow device that can't be stopped, as the system's I/O can't: what it has been given it carries out in the end,
 * from and into the memory it was given, whatever becomes of the task.
 */
export class StubbornStore extends StackedStore {
  readonly #clock: Clock
  readonly #random: SeededRandom
  readonly #delayMsMax: number

  constructor(below: BlockDevice, clock: Clock, random: SeededRandom, delayMsMax: number) {
    super(`stubborn(${below.name})`, below)
    this.#clock = clock
    this.#random = random
    this.#delayMsMax = delayMsMax
  }

  #later(perform: () => void | Promise<void>): Promise<void> {
    const delayMs = (this.#delayMsMax * this.#random.below(1000)) / 1000
    return new Promise((resolve, reject) => {
      this.#clock.after(delayMs, "stubborn I/O", () => {
        try {
          resolve(perform())
        } catch (error) {
          reject(error as Error)
        }
      })
    })
  }

  override read(offsetBytes: number, into: Uint8Array): Promise<void> {
    return this.#later(() => this.below.read(offsetBytes, into))
  }

  override write(offsetBytes: number, from: Uint8Array, fua: boolean): Promise<void> {
    return this.#later(() => this.below.write(offsetBytes, from, fua))
  }

  override flush(): Promise<void> {
    return this.#later(() => this.below.flush())
  }

  override discard(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#later(() => this.below.discard(offsetBytes, lengthBytes))
  }

  override writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean): Promise<void> {
    return this.#later(() => this.below.writeZeroes(offsetBytes, lengthBytes, fua))
  }

  override cancel(): void {}
}
