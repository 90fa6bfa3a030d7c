/** Turns valid PDUs into others. */
import type { SeededRandom } from "../../src/base/random.ts"
import { BHS_BYTES } from "../../src/iscsi/pdu/bhs.ts"
import { pduTypes } from "../../src/iscsi/pdu/record.ts"
import { crc32c } from "../../src/wire/crc32c.ts"
import { dataBytesOf, headerBytesOf, type TappedConnection } from "../sim/pdu-tap.ts"

const INTERESTING = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]
/** PDUs of the past that may come again. */
const HISTORY = 16
const GARBAGE_BYTES_MAX = 200

type Mutation = (pdu: Uint8Array) => readonly Uint8Array[]

export class PduMutator {
  readonly #random: SeededRandom
  /** How many of a hundred PDUs are touched. */
  readonly #percent: number
  readonly #mutations: readonly Mutation[]
  readonly #history: Uint8Array[] = []
  #held: Uint8Array | undefined
  mutated = 0

  constructor(random: SeededRandom, percent: number) {
    this.#random = random
    this.#percent = percent
    this.#mutations = [
      (pdu) => [this.#flip(pdu)],
      (pdu) => [this.#flip(pdu)],
      (pdu) => [this.#field(pdu)],
      (pdu) => [this.#field(pdu)],
      (pdu) => [this.#opcode(pdu)],
      (pdu) => [this.#lengthLie(pdu)],
      (pdu) => [pdu.subarray(0, random.below(pdu.length))],
      (pdu) => [this.#withAhs(pdu)],
      (pdu) => [pdu, pdu],
      () => [],
      (pdu) => this.#hold(pdu),
      (pdu) => [pdu, this.#invented()],
      (pdu) => [pdu, random.fill(new Uint8Array(1 + random.below(GARBAGE_BYTES_MAX)))],
      (pdu) => [pdu, this.#history.length > 0 ? random.pick(this.#history) : pdu],
    ]
  }

  /** What goes on in place of a valid PDU. */
  next(pdu: Uint8Array, connection: TappedConnection): readonly Uint8Array[] {
    const random = this.#random
    const kept = pdu.slice()
    const before = this.#held
    this.#held = undefined
    const touched = random.below(100) < this.#percent
    let out = touched ? random.pick(this.#mutations)(kept) : [kept]
    if (touched) {
      this.mutated++
      if (random.chance(0.7)) out = out.map((piece) => withDigests(piece, connection))
    }
    this.#history.push(kept)
    if (this.#history.length > HISTORY) this.#history.shift()
    return before ? [...out, before] : out
  }

  #hold(pdu: Uint8Array): readonly Uint8Array[] {
    this.#held = pdu
    return []
  }

  #flip(pdu: Uint8Array): Uint8Array {
    const changed = pdu.slice()
    const range = this.#random.chance(0.8) ? Math.min(BHS_BYTES, pdu.length) : pdu.length
    for (let i = this.#random.pick([1, 1, 1, 2, 8]); i > 0; i--) {
      const at = this.#random.below(range)
      changed[at]! ^= 1 << this.#random.below(8)
    }
    return changed
  }

  /** A field of the header gets a value at the edge, or near what it has. */
  #field(pdu: Uint8Array): Uint8Array {
    const changed = pdu.slice()
    const view = new DataView(changed.buffer)
    const bytes = this.#random.pick([1, 2, 4, 4])
    const at = this.#random.below(BHS_BYTES / bytes) * bytes
    const near = bytes === 4 && this.#random.chance(0.4)
    const value = near
      ? view.getUint32(at) + this.#random.pick([-2, -1, 1, 2, 100])
      : this.#random.pick(INTERESTING)
    if (bytes === 1) view.setUint8(at, value)
    else if (bytes === 2) view.setUint16(at, value)
    else view.setUint32(at, value)
    return changed
  }

  #opcode(pdu: Uint8Array): Uint8Array {
    const changed = pdu.slice()
    const known = this.#random.pick(pduTypes).opcode
    const opcode = this.#random.chance(0.7) ? known : this.#random.below(64)
    changed[0] = (changed[0]! & 0xc0) | opcode
    return changed
  }

  #lengthLie(pdu: Uint8Array): Uint8Array {
    const changed = pdu.slice()
    const { length } = pdu
    if (this.#random.chance(0.2)) {
      changed[4] = this.#random.below(256)
      return changed
    }
    const lie = this.#random.pick([0, 1, 3, length, dataBytesOf(pdu) + 1, 8193, 65536, 0xffffff])
    changed[5] = lie >> 16
    changed[6] = lie >> 8
    changed[7] = lie
    return changed
  }

  /** An AHS nobody asked for, in its place. */
  #withAhs(pdu: Uint8Array): Uint8Array {
    const ahs = this.#random.fill(new Uint8Array(4 * (1 + this.#random.below(20))))
    if (this.#random.chance(0.5)) {
      new DataView(ahs.buffer).setUint16(0, ahs.length - 3)
      ahs[2] = this.#random.pick([1, 2])
    }
    const header = pdu.slice(0, BHS_BYTES)
    header[4] = ahs.length / 4
    return new Uint8Array(Buffer.concat([header, ahs, pdu.subarray(BHS_BYTES)]))
  }

  /** A PDU with a right length, and nothing else that need be right. */
  #invented(): Uint8Array {
    const dataBytes = this.#random.pick([0, 0, 1, 48, 511, 4096])
    const pdu = this.#random.fill(new Uint8Array(BHS_BYTES + ((dataBytes + 3) & ~3)))
    pdu[0] = (pdu[0]! & 0xc0) | this.#random.pick(pduTypes).opcode
    pdu[4] = 0
    pdu[5] = 0
    pdu[6] = dataBytes >> 8
    pdu[7] = dataBytes
    return pdu
  }
}

/** The PDU with digests that fit it, where there are any: so that the lie gets past them. */
function withDigests(pdu: Uint8Array, connection: TappedConnection): Uint8Array {
  if (pdu.length < BHS_BYTES) return pdu
  const headerEnd = headerBytesOf(pdu, connection)
  if (headerEnd > pdu.length) return pdu
  const view = new DataView(pdu.buffer, pdu.byteOffset, pdu.byteLength)
  if (connection.headerDigest) view.setUint32(headerEnd - 4, crc32c(pdu, 0, headerEnd - 4), true)
  const dataEnd = headerEnd + ((dataBytesOf(pdu) + 3) & ~3)
  const fits = connection.dataDigest && dataEnd > headerEnd && dataEnd + 4 <= pdu.length
  if (fits) view.setUint32(dataEnd, crc32c(pdu, headerEnd, dataEnd), true)
  return pdu
}
