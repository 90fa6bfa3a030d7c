/**
 * CRC-32C of long runs with the 128-bit instructions of WebAssembly, several times as fast as tables in JavaScript.
 *
 * A CRC is a remainder modulo a polynomial P, so bytes may be replaced by any others that are congruent. Row by row of
 * 16 bytes, from the front, what stands there is taken away and added (xor) to rows behind it, until a few rows are
 * left for the tables. There are two ways, each moving all 16 columns alike, since moving along a column is the same
 * for every column:
 *
 * - Sparse: P divides a polynomial of eight terms whose exponents are multiples of a row. So a row may simply be added
 *   to seven others, the farthest 79 rows on (Russell, "Chorba: A novel CRC32 implementation", 2024).
 * - Look-up: each byte of a row becomes four bytes in four rows close by, found half a byte at a time (i8x16.swizzle).
 */

const ROW_BYTES = 16
/** How many rows on a row is added to: 1 = the sum of x^-(128·d) over these d, modulo P. Found by search. */
const SPARSE_ROWS = [4, 8, 21, 61, 67, 78, 79] as const
/** In which rows after its own a byte's four others lie: nearest such that every value has one representation. */
const LOOK_UP_ROWS = [4, 5, 7, 9] as const
/** Rows done before it is looked whether there are more. */
const SPARSE_TURN_ROWS = 4
const SPARSE_BYTES = SPARSE_ROWS.at(-1)! * ROW_BYTES
const LOOK_UP_BYTES = LOOK_UP_ROWS.at(-1)! * ROW_BYTES

/**
 * The module's memory: the look-up tables; what is left of rows at the moment, with zeroes before it; a place for bytes
 * that are summed but lie elsewhere; and from LENT_AT on memory for who wants his bytes to be here from the start.
 */
const TABLES_AT = 0
const TABLE_BYTES = 16
const LEFT_AT = 4096
const PART_BYTES_MAX = 65536
const COPY_AT = LEFT_AT + PART_BYTES_MAX
const LENT_AT = COPY_AT + PART_BYTES_MAX
const PAGE_BYTES = 65536

/** Extends the CRC register (not inverted) over bytes [start, end). */
type Register = (view: DataView, start: number, end: number, register: number) => number

// ---------------------------------------------------------------------------------------------- the look-up tables

/** For each row of LOOK_UP_ROWS a table for the lower and one for the upper half of a byte. */
function lookUpTables(register: Register): Uint8Array {
  const view = new DataView(new ArrayBuffer(1 + LOOK_UP_BYTES))
  /** The register after `byte` and so many rows of zeroes. */
  const effect = (byte: number, rows: number): number => {
    view.setUint8(0, byte)
    return register(view, 0, 1 + rows * ROW_BYTES, 0)
  }
  const last = LOOK_UP_ROWS.at(-1)!
  const solve = solver((bit) => effect(1 << (bit & 7), last - LOOK_UP_ROWS[bit >> 3]!))
  const tables = new Uint8Array(LOOK_UP_ROWS.length * 2 * TABLE_BYTES)
  for (let value = 0; value < 16; value++) {
    for (const half of [0, 1]) {
      const four = solve(effect(value << (4 * half), last))
      LOOK_UP_ROWS.forEach((_, i) => {
        tables[(2 * i + half) * TABLE_BYTES + value] = four >>> (8 * i)
      })
    }
  }
  return tables
}

/** For 32 independent columns over GF(2): gives which of them make up y. */
function solver(column: (bit: number) => number): (y: number) => number {
  /** By its highest bit: a sum of columns, and which they are. */
  const pivots: { value: number; columns: number }[] = []
  const reduce = (value: number, columns: number) => {
    let bit = 31 - Math.clz32(value)
    for (; bit >= 0 && pivots[bit]; bit = 31 - Math.clz32(value)) {
      value ^= pivots[bit]!.value
      columns ^= pivots[bit]!.columns
    }
    return { value, columns, bit }
  }
  for (let i = 0; i < 32; i++) {
    const { value, columns, bit } = reduce(column(i), 1 << i)
    pivots[bit] = { value, columns }
  }
  return (y) => reduce(y, 0).columns
}

// ------------------------------------------------------------------------------------------------- the module

const Op = {
  loop: 0x03,
  end: 0x0b,
  brIf: 0x0d,
  get: 0x20,
  set: 0x21,
  constI32: 0x41,
  ltU: 0x49,
  add: 0x6a,
} as const
const V128 = {
  load: 0x00,
  store: 0x0b,
  const: 0x0c,
  swizzle: 0x0e,
  and: 0x4e,
  xor: 0x51,
  shiftRightU8: 0x6d,
} as const
const Type = { i32: 0x7f, v128: 0x7b, func: 0x60, none: 0x40 } as const
const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]

/** Unsigned LEB128. */
function leb(value: number): number[] {
  const bytes = []
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80)
  return [...bytes, value]
}

/** Signed LEB128 of a number from 0 to 8191. */
const signedLeb = (value: number): number[] => (value < 64 ? [value] : [(value & 0x7f) | 0x80, value >>> 7])

const vector = (items: readonly (readonly number[])[]): number[] => [...leb(items.length), ...items.flat()]
const section = (id: number, content: number[]): number[] => [id, ...leb(content.length), ...content]
const text = (value: string): number[] => [...leb(value.length), ...Buffer.from(value)]
const v128 = (op: number, ...immediates: number[]): number[] => [0xfd, ...leb(op), ...immediates]
/** The immediates of a load or store: no alignment, and an offset. */
const at = (offset: number): number[] => [0, ...leb(offset)]

/** The parameters of all functions, and the local they have in common. */
const START = 0
const END = 1
const DISTANCE = 2
const ROW = 3
const PARAMETERS = [[Type.i32], [Type.i32], [Type.i32]]

/**
 * A function (start, end, distance) that goes through the rows in [start, end), at least one; `before` is done once,
 * `others` are its other vectors.
 */
function eachRow(others: number, before: number[], body: number[], rowsAtATime = 1): number[] {
  return [
    ...vector([[...leb(1 + others), Type.v128]]),
    ...before,
    ...[Op.loop, Type.none, ...body],
    ...[Op.get, START, Op.constI32, ...signedLeb(rowsAtATime * ROW_BYTES), Op.add, Op.set, START],
    ...[Op.get, START, Op.get, END, Op.ltU, Op.brIf, 0],
    ...[Op.end, Op.end],
  ]
}

const loadRow = [Op.get, START, ...v128(V128.load, ...at(0)), Op.set, ROW]
const atDistance = [Op.get, START, Op.get, DISTANCE, Op.add]

/** Adds what `value` puts on the stack to the row so many rows on. */
const addToRow = (rows: number, value: number[]): number[] => [
  ...[Op.get, START, Op.get, START, ...v128(V128.load, ...at(rows * ROW_BYTES))],
  ...[...value, ...v128(V128.xor), ...v128(V128.store, ...at(rows * ROW_BYTES))],
]

/**
 * What is left of each row: that `distance` bytes on, and the rows before it that are added to it. `start` and `end` lie
 * SPARSE_BYTES before what is left, since offsets only go forward.
 */
const sparseFunction = (): number[] => {
  const load = (offset: number) => [Op.get, START, ...v128(V128.load, ...at(offset))]
  const row = (offset: number) => [
    ...[Op.get, START, ...atDistance, ...v128(V128.load, ...at(SPARSE_BYTES + offset))],
    ...SPARSE_ROWS.flatMap((rows) => [
      ...[...load(SPARSE_BYTES - rows * ROW_BYTES + offset), ...v128(V128.xor)],
    ]),
    ...v128(V128.store, ...at(SPARSE_BYTES + offset)),
  ]
  const turn = Array.from({ length: SPARSE_TURN_ROWS }, (_, i) => row(i * ROW_BYTES)).flat()
  return eachRow(0, [], turn, SPARSE_TURN_ROWS)
}

/** Adds each row to the one `distance` bytes on. */
const spreadFunction = (): number[] =>
  eachRow(
    0,
    [],
    [
      ...[...loadRow, ...atDistance, ...atDistance, ...v128(V128.load, ...at(0))],
      ...[Op.get, ROW, ...v128(V128.xor), ...v128(V128.store, ...at(0))],
    ],
  )

function lookUpFunction(): number[] {
  const LOWER = 4
  const UPPER = 5
  const MASK = 6
  const table = (i: number) => 7 + i
  const tables = Array.from({ length: 2 * LOOK_UP_ROWS.length }, (_, i) => i)
  const found = (i: number, half: number) => [Op.get, table(i), Op.get, half, ...v128(V128.swizzle)]
  return eachRow(
    3 + tables.length,
    [
      ...[...v128(V128.const, ...new Array<number>(16).fill(0x0f)), Op.set, MASK],
      ...tables.flatMap((i) => [
        ...[Op.constI32, 0, ...v128(V128.load, ...at(TABLES_AT + i * TABLE_BYTES)), Op.set, table(i)],
      ]),
    ],
    [
      ...loadRow,
      ...[Op.get, ROW, Op.get, MASK, ...v128(V128.and), Op.set, LOWER],
      ...[Op.get, ROW, Op.constI32, 4, ...v128(V128.shiftRightU8), Op.set, UPPER],
      ...LOOK_UP_ROWS.flatMap((rows, i) =>
        addToRow(rows, [...found(2 * i, LOWER), ...found(2 * i + 1, UPPER), ...v128(V128.xor)]),
      ),
    ],
  )
}

function moduleBytes(pages: number): Uint8Array {
  const functions = [sparseFunction(), spreadFunction(), lookUpFunction()]
  return new Uint8Array([
    ...MAGIC_AND_VERSION,
    ...section(1, vector([[Type.func, ...vector(PARAMETERS), 0]])),
    ...section(3, vector(functions.map(() => [0]))),
    ...section(5, vector([[1, ...leb(pages), ...leb(pages)]])),
    ...section(
      7,
      vector([
        [...text("memory"), 2, 0],
        [...text("sparse"), 0, 0],
        [...text("spread"), 0, 1],
        [...text("lookUp"), 0, 2],
      ]),
    ),
    ...section(10, vector(functions.map((body) => [...leb(body.length), ...body]))),
  ])
}

// ---------------------------------------------------------------------------------------------------- its use

type RowFunction = (start: number, end: number, distance: number) => void

interface Module {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly sparse: RowFunction
  readonly spread: RowFunction
  readonly lookUp: RowFunction
}

/** The part of the JavaScript API of WebAssembly that is used here; it isn't among the types of ECMAScript. */
interface WebAssemblyApi {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { readonly exports: unknown }
}

function instantiate(pages: number): Module | undefined {
  const api = (globalThis as { WebAssembly?: WebAssemblyApi }).WebAssembly
  try {
    return api && (new api.Instance(new api.Module(moduleBytes(pages))).exports as Module)
  } catch {
    return undefined // a processor without such instructions
  }
}

/** Sums long runs, some 16 rows at least. */
export class LongRuns {
  readonly #short: Register
  readonly #module: Module
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #lentBytes = 0

  /** Undefined where there is no WebAssembly with 128-bit instructions. `lentBytes`: what `allocate` may give. */
  static create(short: Register, lentBytes: number): LongRuns | undefined {
    const module = instantiate(Math.ceil((LENT_AT + lentBytes) / PAGE_BYTES))
    return module && new LongRuns(short, module)
  }

  private constructor(short: Register, module: Module) {
    this.#short = short
    this.#module = module
    this.#bytes = new Uint8Array(module.memory.buffer)
    this.#view = new DataView(module.memory.buffer)
    this.#bytes.set(lookUpTables(short), TABLES_AT)
  }

  /** Memory whose bytes are summed where they are, for good; undefined when there is none left. */
  allocate(lengthBytes: number): Uint8Array | undefined {
    const from = LENT_AT + this.#lentBytes
    if (from + lengthBytes > this.#bytes.length) return undefined
    this.#lentBytes += (lengthBytes + ROW_BYTES - 1) & -ROW_BYTES
    return new Uint8Array(this.#bytes.buffer, from, lengthBytes)
  }

  /** Extends the CRC register over bytes [start, end) of a view: nothing is copied that lies in memory of `allocate`. */
  register(view: DataView, start: number, end: number, register: number): number {
    let from = start
    while (end - from > LOOK_UP_BYTES + ROW_BYTES) {
      const part = Math.min(PART_BYTES_MAX, (end - from) & -ROW_BYTES)
      const goes = Math.max(0, part - SPARSE_BYTES) & (-ROW_BYTES * SPARSE_TURN_ROWS)
      if (goes > 0) this.#sumMuch(view, from, goes, part, register)
      else this.#take(view, from, part, LEFT_AT, register)
      const leftEnd = LEFT_AT + part
      this.#module.lookUp(LEFT_AT + goes, leftEnd - LOOK_UP_BYTES, 0)
      register = this.#short(this.#view, leftEnd - LOOK_UP_BYTES, leftEnd, 0)
      from += part
    }
    return this.#short(view, from, end, register)
  }

  /** Sums `goes` bytes to what is left in the rest of [LEFT_AT, LEFT_AT + part). */
  #sumMuch(view: DataView, from: number, goes: number, part: number, register: number): void {
    const { sparse, spread } = this.#module
    let at = view.byteOffset + from
    if (view.buffer !== this.#bytes.buffer) {
      this.#take(view, from, part, COPY_AT, 0)
      at = COPY_AT
    }
    const stays = LEFT_AT + goes
    // What is before the first byte is a row that far before it.
    this.#view.setInt32(LEFT_AT - SPARSE_BYTES, register, true)
    sparse(LEFT_AT - SPARSE_BYTES, stays - SPARSE_BYTES, at - LEFT_AT)
    this.#view.setInt32(LEFT_AT - SPARSE_BYTES, 0)
    this.#bytes.copyWithin(stays, at + goes, at + part)
    for (const rows of SPARSE_ROWS) {
      const distance = rows * ROW_BYTES
      spread(Math.max(LEFT_AT, stays - distance), stays, distance)
    }
  }

  #take(view: DataView, from: number, count: number, to: number, register: number): void {
    this.#bytes.set(new Uint8Array(view.buffer, view.byteOffset + from, count), to)
    this.#view.setInt32(to, this.#view.getInt32(to, true) ^ register, true)
  }
}
