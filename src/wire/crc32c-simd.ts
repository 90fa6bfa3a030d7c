/**
 * CRC-32C of long runs with the 128-bit instructions of WebAssembly, several times as fast as tables in JavaScript.
 *
 * A CRC is a remainder modulo a polynomial P, so bytes may be replaced by any others that are congruent. Row by row of
 * 16 bytes, from the front, what stands there is taken away and added (xor) to rows behind it, until a few rows are
 * left for the tables. There are two ways, each moving all 16 columns alike, since moving along a column is the same
 * for every column:
 *
 * - Sparse: P divides a polynomial of six terms whose exponents are multiples of a row. So a row may simply be added
 *   to five others, the farthest 209 rows on (Russell, "Chorba: A novel CRC32 implementation", 2024).
 * - Look-up: each byte of a row becomes four bytes in four rows close by, found half a byte at a time (i8x16.swizzle).
 */

const ROW_BYTES = 16
/** How many rows on a row is added to: 1 = the sum of x^-(128·d) over these d, modulo P. Found by search. */
const SPARSE_ROWS = [65, 155, 170, 195, 209] as const
/** In which rows after its own a byte's four others lie: nearest such that every value has one representation. */
const LOOK_UP_ROWS = [4, 5, 7, 9] as const
const SPARSE_BYTES = SPARSE_ROWS.at(-1)! * ROW_BYTES
const LOOK_UP_BYTES = LOOK_UP_ROWS.at(-1)! * ROW_BYTES

/** In the module's memory: the look-up tables, and behind them what is to be summed. */
const TABLES_AT = 0
const TABLE_BYTES = 16
const DATA_AT = 1024
const PAGES = 2
const DATA_BYTES_MAX = 65536

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

const vector = (items: readonly (readonly number[])[]): number[] => [...leb(items.length), ...items.flat()]
const section = (id: number, content: number[]): number[] => [id, ...leb(content.length), ...content]
const text = (value: string): number[] => [...leb(value.length), ...Buffer.from(value)]
const v128 = (op: number, ...immediates: number[]): number[] => [0xfd, ...leb(op), ...immediates]
/** The immediates of a load or store: no alignment, and an offset. */
const at = (offset: number): number[] => [0, ...leb(offset)]

/** The parameters of both functions, and the local they have in common. */
const START = 0
const END = 1
const ROW = 2

/** A function (start, end) that goes through the rows in [start, end), at least one; `others` are its other vectors. */
function eachRow(others: number, before: number[], body: number[]): number[] {
  return [
    ...vector([[...leb(1 + others), Type.v128]]),
    ...before,
    ...[Op.loop, Type.none],
    ...[Op.get, START, ...v128(V128.load, ...at(0)), Op.set, ROW],
    ...body,
    ...[Op.get, START, Op.constI32, ROW_BYTES, Op.add, Op.set, START],
    ...[Op.get, START, Op.get, END, Op.ltU, Op.brIf, 0],
    ...[Op.end, Op.end],
  ]
}

/** Adds what `value` puts on the stack to the row so many rows on. */
const addToRow = (rows: number, value: number[]): number[] => [
  ...[Op.get, START, Op.get, START, ...v128(V128.load, ...at(rows * ROW_BYTES))],
  ...[...value, ...v128(V128.xor), ...v128(V128.store, ...at(rows * ROW_BYTES))],
]

const sparseFunction = (): number[] =>
  eachRow(
    0,
    [],
    SPARSE_ROWS.flatMap((rows) => addToRow(rows, [Op.get, ROW])),
  )

function lookUpFunction(): number[] {
  const LOWER = 3
  const UPPER = 4
  const MASK = 5
  const table = (i: number) => 6 + i
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
      ...[Op.get, ROW, Op.get, MASK, ...v128(V128.and), Op.set, LOWER],
      ...[Op.get, ROW, Op.constI32, 4, ...v128(V128.shiftRightU8), Op.set, UPPER],
      ...LOOK_UP_ROWS.flatMap((rows, i) =>
        addToRow(rows, [...found(2 * i, LOWER), ...found(2 * i + 1, UPPER), ...v128(V128.xor)]),
      ),
    ],
  )
}

function moduleBytes(): Uint8Array {
  const functions = [sparseFunction(), lookUpFunction()]
  return new Uint8Array([
    ...MAGIC_AND_VERSION,
    ...section(1, vector([[Type.func, ...vector([[Type.i32], [Type.i32]]), 0]])),
    ...section(3, vector(functions.map(() => [0]))),
    ...section(5, vector([[1, PAGES, PAGES]])),
    ...section(
      7,
      vector([
        [...text("memory"), 2, 0],
        [...text("sparse"), 0, 0],
        [...text("lookUp"), 0, 1],
      ]),
    ),
    ...section(10, vector(functions.map((body) => [...leb(body.length), ...body]))),
  ])
}

// ---------------------------------------------------------------------------------------------------- its use

interface Module {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly sparse: (start: number, end: number) => void
  readonly lookUp: (start: number, end: number) => void
}

/** The part of the JavaScript API of WebAssembly that is used here; it isn't among the types of ECMAScript. */
interface WebAssemblyApi {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { readonly exports: unknown }
}

function instantiate(): Module | undefined {
  const api = (globalThis as { WebAssembly?: WebAssemblyApi }).WebAssembly
  try {
    return api && (new api.Instance(new api.Module(moduleBytes())).exports as Module)
  } catch {
    return undefined // a processor without such instructions
  }
}

/**
 * Gives a Register for long runs, some 16 rows at least, made of one for short ones; undefined where there is no
 * WebAssembly with 128-bit instructions.
 */
export function longRegister(short: Register): Register | undefined {
  const module = instantiate()
  if (!module) return undefined
  const { sparse, lookUp, memory } = module
  const bytes = new Uint8Array(memory.buffer)
  const memoryView = new DataView(memory.buffer)
  bytes.set(lookUpTables(short), TABLES_AT)
  return (view, start, end, register) => {
    let from = start
    while (end - from > LOOK_UP_BYTES + ROW_BYTES) {
      const take = Math.min(DATA_BYTES_MAX, (end - from) & -ROW_BYTES)
      bytes.set(new Uint8Array(view.buffer, view.byteOffset + from, take), DATA_AT)
      memoryView.setInt32(DATA_AT, memoryView.getInt32(DATA_AT, true) ^ register, true)
      const dataEnd = DATA_AT + take
      if (take > SPARSE_BYTES) sparse(DATA_AT, dataEnd - SPARSE_BYTES)
      lookUp(Math.max(DATA_AT, dataEnd - SPARSE_BYTES), dataEnd - LOOK_UP_BYTES)
      register = short(memoryView, dataEnd - LOOK_UP_BYTES, dataEnd, 0)
      from += take
    }
    return short(view, from, end, register)
  }
}
