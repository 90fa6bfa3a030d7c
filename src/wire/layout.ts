import assert from "node:assert"

/** A header lying at `at` within `bytes`. It owns nothing: it is valid only while those bytes are. */
export class HeaderView {
  // Declared alone: to define a field before it is set costs more than all the rest of making a view.
  declare bytes: DataView
  declare at: number

  constructor(bytes: DataView, at: number) {
    this.bytes = bytes
    this.at = at
  }
}

export interface Field<V> {
  readonly offset: number
  /** The bits this field owns, one mask per byte from `offset` on. */
  readonly claims: readonly number[]
  /** Absent: reserved. */
  readonly accessor?: { get(this: HeaderView): V; set?(this: HeaderView, value: V): void }
}

export type Fields = Readonly<Record<string, Field<unknown>>>

/** The named values of a table: what a view's accessors give, and what a record of it holds. */
export type Values<F extends Fields> = {
  -readonly [K in keyof F as F[K] extends Field<never> ? never : K]: F[K] extends Field<infer V> ? V : never
}

export interface HeaderType<F extends Fields> {
  new (bytes: DataView, at: number): HeaderView & Values<F>
  readonly title: string
  readonly spec: string
  /** In bytes. */
  readonly length: number
  readonly fields: F
}

const whole = (bytes: number): readonly number[] => new Array<number>(bytes).fill(0xff)

export const u8 = (offset: number): Field<number> => ({
  offset,
  claims: whole(1),
  accessor: {
    get() {
      return this.bytes.getUint8(this.at + offset)
    },
    set(value) {
      this.bytes.setUint8(this.at + offset, value)
    },
  },
})

export const u16 = (offset: number): Field<number> => ({
  offset,
  claims: whole(2),
  accessor: {
    get() {
      return this.bytes.getUint16(this.at + offset)
    },
    set(value) {
      this.bytes.setUint16(this.at + offset, value)
    },
  },
})

export const u24 = (offset: number): Field<number> => ({
  offset,
  claims: whole(3),
  accessor: {
    get() {
      return (this.bytes.getUint8(this.at + offset) << 16) | this.bytes.getUint16(this.at + offset + 1)
    },
    set(value) {
      this.bytes.setUint8(this.at + offset, value >>> 16)
      this.bytes.setUint16(this.at + offset + 1, value & 0xffff)
    },
  },
})

export const u32 = (offset: number): Field<number> => ({
  offset,
  claims: whole(4),
  accessor: {
    get() {
      return this.bytes.getUint32(this.at + offset)
    },
    set(value) {
      this.bytes.setUint32(this.at + offset, value)
    },
  },
})

/** A whole number of 48 bits, as an ISID. */
export const u48 = (offset: number): Field<number> => ({
  offset,
  claims: whole(6),
  accessor: {
    get() {
      return this.bytes.getUint16(this.at + offset) * 2 ** 32 + this.bytes.getUint32(this.at + offset + 2)
    },
    set(value) {
      this.bytes.setUint16(this.at + offset, Math.floor(value / 2 ** 32))
      this.bytes.setUint32(this.at + offset + 2, value >>> 0)
    },
  },
})

/** One bit; bit 7 is the first on the wire. */
export const flag = (offset: number, bit: number): Field<boolean> => {
  const mask = 1 << bit
  return {
    offset,
    claims: [mask],
    accessor: {
      get() {
        return (this.bytes.getUint8(this.at + offset) & mask) !== 0
      },
      set(value) {
        const others = this.bytes.getUint8(this.at + offset) & ~mask
        this.bytes.setUint8(this.at + offset, value ? others | mask : others)
      },
    },
  }
}

/** `width` bits of one byte, the lowest of them being bit `low`. */
export const bits = (offset: number, low: number, width: number): Field<number> => {
  const mask = ((1 << width) - 1) << low
  return {
    offset,
    claims: [mask],
    accessor: {
      get() {
        return (this.bytes.getUint8(this.at + offset) & mask) >> low
      },
      set(value) {
        const others = this.bytes.getUint8(this.at + offset) & ~mask
        this.bytes.setUint8(this.at + offset, others | ((value << low) & mask))
      },
    },
  }
}

/** A run of bytes read in place. Its value is where it starts within the view's bytes: no copy, no subarray. */
export const span = (offset: number, length: number): Field<number> => ({
  offset,
  claims: whole(length),
  accessor: {
    get() {
      return this.at + offset
    },
  },
})

export const reserved = (offset: number, mask: number): Field<never> => ({ offset, claims: [mask] })

export const reservedBytes = (offset: number, length: number): Field<never> => ({
  offset,
  claims: whole(length),
})

/**
 * Makes a view class out of a table. That every bit is declared, and none twice, is proved here, once, when the
 * module is loaded.
 */
export function defineHeader<F extends Fields>(
  title: string,
  spec: string,
  length: number,
  fields: F,
): HeaderType<F> {
  class View extends HeaderView {
    static readonly title = title
    static readonly spec = spec
    static override readonly length = length
    static readonly fields = fields
  }
  const claimed = new Uint8Array(length)
  for (const [name, { offset, claims, accessor }] of Object.entries(fields)) {
    claims.forEach((mask, i) => {
      assert.ok(offset + i < length, `${title}: ${name} ends behind the header`)
      assert.equal(
        claimed[offset + i]! & mask,
        0,
        `${title}: ${name} overlaps another field at byte ${offset + i}`,
      )
      claimed[offset + i]! |= mask
    })
    if (accessor) Object.defineProperty(View.prototype, name, { ...accessor, enumerable: true })
  }
  claimed.forEach((mask, byte) => {
    assert.equal(mask, 0xff, `${title}: byte ${byte} is not fully declared`)
  })
  return View as unknown as HeaderType<F>
}
