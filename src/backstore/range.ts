import { BlockError } from "./block-device.ts"

/** Throws "out-of-range" unless [offset, offset + length) are whole bytes within the device. */
export function checkRange(name: string, sizeBytes: number, offsetBytes: number, lengthBytes: number): void {
  // One comparison each for the usual case; NaN and fractions fail them or the check for whole numbers.
  if (
    offsetBytes >= 0 &&
    lengthBytes >= 0 &&
    offsetBytes + lengthBytes <= sizeBytes &&
    Number.isSafeInteger(offsetBytes) &&
    Number.isSafeInteger(lengthBytes)
  )
    return
  const message = `${name}: bytes ${offsetBytes} + ${lengthBytes} are beyond the device's ${sizeBytes}`
  throw new BlockError("out-of-range", message, { offsetBytes })
}

/** Throws "out-of-range" unless `sizeBytes` can be the size of a device. */
export function checkSize(name: string, sizeBytes: number): void {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes > 0) return
  throw new BlockError("out-of-range", `${name}: ${sizeBytes} can't be a size in bytes`)
}

export const closedError = (name: string): BlockError => new BlockError("closed", `${name} is closed`)

/** Who wants to know of a change of size. */
export class ResizeListeners {
  readonly #listeners = new Set<{ readonly call: (sizeBytes: number) => void }>()

  /** Returns how to stop listening; the same function may listen several times. */
  add(call: (sizeBytes: number) => void): () => void {
    const entry = { call }
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  notify(sizeBytes: number): void {
    for (const listener of [...this.#listeners]) listener.call(sizeBytes)
  }
}
