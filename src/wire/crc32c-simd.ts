/**
 * CRC-32C of long runs with the 128-bit instructions of WebAssembly, several times as fast as tables in JavaScript.
 *
 * A CRC is a remainder modulo a polynomial P, so bytes may be replaced by any others that are congruent. Row by row of
 * 16 bytes, from the front, what stands there is taken away and added (xor) to rows behind it, until a few rows are
 * left for the tables. There are three ways, each moving all 16 columns alike, since moving along a column is the same
 * for every column:
 *
 * - Far: P divides a polynomial of four terms whose exponents are multiples of a byte. So a byte may simply be added to
 *   three others, the farthest 5 KiB on (after Russell, "Chorba: A novel CRC32 implementation", 2024). Half the work
 *   of the next, where there is much to sum.
 * - Sparse: P divides a polynomial of eight terms whose exponents are multiples of a row. So a row may be added to
 *   seven others, the farthest 79 rows on.
 * - Look-up: each byte of a row becomes four bytes in four rows close by, found half a byte at a time (i8x16.swizzle).
 */

const ROW_BYTES = 16
/** Rows done before it is looked whether there are more. */
const TURN_BYTES = 4 * ROW_BYTES

/** A way to add each row to others behind it; all rows but the last `farthest` bytes. */
interface Relation {
  /** How many bytes on: 1 = the sum of x^-(8·d) over these d, modulo P, rising. */
  readonly distances: readonly number[]
  /** From so many bytes on it pays. */
  readonly paysBytes: number
}

/** Found by search: the nearest of three that aren't so near that a row is wanted back before the processor has let go of it. */
const FAR: Relation = { distances: [1278, 1565, 5424], paysBytes: 20480 }
/** Found by search: in rows, since what isn't far has to lie as it was stored. */
const SPARSE: Relation = {
  distances: [4, 8, 21, 61, 67, 78, 79].map((rows) => rows * ROW_BYTES),
  paysBytes: 1344,
}
/** In which rows after its own a byte's four others lie: nearest such that every value has one representation. */
const LOOK_UP_ROWS = [4, 5, 7, 9] as const
const LOOK_UP_BYTES = LOOK_UP_ROWS.at(-1)! * ROW_BYTES

const farthest = ({ distances }: Relation): number => distances.at(-1)!

/**
 * The module's memory: the look-up tables; the rows a relation has done, with zeroes before them; what it leaves over, for
 * each; a place for bytes that are summed but lie elsewhere; and from LENT_AT on memory for who wants his bytes to be
 * here from the start.
 */
const TABLES_AT = 0
const TABLE_BYTES = 16
const DONE_AT = 8192
const PART_BYTES_MAX = 65536
const FAR_REST_AT = DONE_AT + PART_BYTES_MAX + TURN_BYTES
const SPARSE_REST_AT = FAR_REST_AT + 8192
const COPY_AT = SPARSE_REST_AT + 2048
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
function eachRow(others: number, before: number[], body: number[], turnBytes = ROW_BYTES): number[] {
  return [
    ...vector([[...leb(1 + others), Type.v128]]),
    ...before,
    ...[Op.loop, Type.none, ...body],
    ...[Op.get, START, Op.constI32, ...signedLeb(turnBytes), Op.add, Op.set, START],
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
 * Does rows by a relation: each is that `distance` bytes on, with the rows before it that are added to it. `start` and
 * `end` lie the farthest distance before the rows done, since offsets only go forward.
 */
const relationFunction = (relation: Relation): number[] => {
  const last = farthest(relation)
  const load = (offset: number) => [Op.get, START, ...v128(V128.load, ...at(offset))]
  const row = (offset: number) => [
    ...[Op.get, START, ...atDistance, ...v128(V128.load, ...at(last + offset))],
    ...relation.distances.flatMap((distance) => [...load(last - distance + offset), ...v128(V128.xor)]),
    ...v128(V128.store, ...at(last + offset)),
  ]
  const turn = Array.from({ length: TURN_BYTES / ROW_BYTES }, (_, i) => row(i * ROW_BYTES)).flat()
  return eachRow(0, [], turn, TURN_BYTES)
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
  const functions = [relationFunction(FAR), relationFunction(SPARSE), spreadFunction(), lookUpFunction()]
  return new Uint8Array([
    ...MAGIC_AND_VERSION,
    ...section(1, vector([[Type.func, ...vector(PARAMETERS), 0]])),
    ...section(3, vector(functions.map(() => [0]))),
    ...section(5, vector([[1, ...leb(pages), ...leb(pages)]])),
    ...section(
      7,
      vector([
        [...text("memory"), 2, 0],
        [...text("far"), 0, 0],
        [...text("sparse"), 0, 1],
        [...text("spread"), 0, 2],
        [...text("lookUp"), 0, 3],
      ]),
    ),
    ...section(10, vector(functions.map((body) => [...leb(body.length), ...body]))),
  ])
}

// ---------------------------------------------------------------------------------------------------- its use

type RowFunction = (start: number, end: number, distance: number) => void

interface Module {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly far: RowFunction
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
      register = this.#part(view, from, part, register)
      from += part
    }
    return this.#short(view, from, end, register)
  }

  #part(view: DataView, from: number, part: number, register: number): number {
    let at = view.byteOffset + from
    let end = at + part
    if (part < SPARSE.paysBytes) {
      end = COPY_AT + part
      at = this.#take(view, from, part)
      this.#view.setInt32(at, this.#view.getInt32(at, true) ^ register, true)
    } else {
      if (view.buffer !== this.#bytes.buffer) {
        at = this.#take(view, from, part)
        end = at + part
      }
      if (part >= FAR.paysBytes) {
        end = this.#relate(FAR, at, end, register, FAR_REST_AT)
        at = FAR_REST_AT
        register = 0
      }
      end = this.#relate(SPARSE, at, end, register, SPARSE_REST_AT)
      at = SPARSE_REST_AT
    }
    this.#module.lookUp(at, end - LOOK_UP_BYTES, 0)
    return this.#short(this.#view, end - LOOK_UP_BYTES, end, 0)
  }

  /** Replaces [at, end) by fewer bytes at `restAt`, and returns their end. */
  #relate(relation: Relation, at: number, end: number, register: number, restAt: number): number {
    const { far, sparse, spread } = this.#module
    const last = farthest(relation)
    const done = (end - at - last) & -TURN_BYTES
    const doneEnd = DONE_AT + done
    // What is before the first byte is a row that far before it.
    this.#view.setInt32(DONE_AT - last, register, true)
    // One call for both would be a dearer one.
    if (relation === FAR) far(DONE_AT - last, doneEnd - last, at - DONE_AT)
    else sparse(DONE_AT - last, doneEnd - last, at - DONE_AT)
    this.#view.setInt32(DONE_AT - last, 0)
    this.#bytes.copyWithin(restAt, at + done, end)
    // Where distances aren't whole rows, the last one of each reaches behind what is done.
    this.#view.setFloat64(doneEnd, 0)
    this.#view.setFloat64(doneEnd + 8, 0)
    for (const distance of relation.distances) {
      const from = doneEnd - distance
      spread(from, doneEnd, restAt - from)
    }
    return restAt + end - at - done
  }

  #take(view: DataView, from: number, count: number): number {
    this.#bytes.set(new Uint8Array(view.buffer, view.byteOffset + from, count), COPY_AT)
    return COPY_AT
  }
}
