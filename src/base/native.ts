import type koffiModule from "koffi"

export type Koffi = typeof koffiModule
/** A function of the C library, called on this thread. */
export type NativeCall = (...args: unknown[]) => number

const MACHINES = ["x64", "arm64", "riscv64", "loong64"] // 64-bit, little-endian

let loading: Promise<Koffi | undefined> | undefined

/** koffi, which calls the C library; undefined where there's no Linux on a machine known here, or no koffi. */
export function loadKoffi(): Promise<Koffi | undefined> {
  if (process.platform !== "linux" || !MACHINES.includes(process.arch)) return Promise.resolve(undefined)
  loading ??= import("koffi").then(
    (module) => module.default,
    () => undefined,
  )
  return loading
}

/** Where memory lies, for calls that take addresses. */
export class Addresses {
  readonly #koffi: Koffi
  readonly #known = new WeakMap<ArrayBufferLike, number>()

  constructor(koffi: Koffi) {
    this.#koffi = koffi
  }

  /** Where the memory is; undefined for kinds that have no fixed place. It stays there as long as it lives. */
  of(memory: ArrayBufferLike): number | undefined {
    let address = this.#known.get(memory)
    if (address === undefined) {
      if (!(memory instanceof ArrayBuffer) || memory.byteLength === 0) return undefined
      address = Number(this.#koffi.address(memory))
      this.#known.set(memory, address)
    }
    return address
  }
}

/** An array of struct iovec { void *iov_base; size_t iov_len } of a 64-bit little-endian machine. */
export class Iovecs {
  /** Goes to koffi as it is, which turns it into its address at once; a number is slower. */
  readonly memory: ArrayBuffer
  readonly #words: Uint32Array

  constructor(count: number) {
    this.memory = new ArrayBuffer(16 * count)
    this.#words = new Uint32Array(this.memory)
  }

  set(index: number, address: number, lengthBytes: number): void {
    const words = this.#words
    const at = 4 * index
    words[at] = address // stores the low 32 bits
    words[at + 1] = address / 2 ** 32
    words[at + 2] = lengthBytes
    words[at + 3] = lengthBytes / 2 ** 32
  }
}
