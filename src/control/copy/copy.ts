import { isPromise } from "../../base/completion.ts"
import { SanletError } from "../../base/errors.ts"
import type { CopyEnd } from "./copy-end.ts"
import { splitZeroes } from "./zeroes.ts"

export interface CopyOptions {
  /** Pieces under way at once. */
  readonly depth: number
  /** Bytes of a piece, a multiple of both ends' blocks. */
  readonly pieceBytes: number
  /** Told after each piece. */
  readonly onProgress?: (progress: CopyProgress) => void
  readonly signal?: AbortSignal
}

/** How far it is; all in bytes. */
export interface CopyProgress {
  readonly totalBytes: number
  readonly doneBytes: number
  /** Of these, what was read and written. */
  readonly dataBytes: number
  /** Of these, what is zeroes and was left out or unmapped. */
  readonly zeroBytes: number
}

const GRANULE_BYTES = 4096
/** Zeroes in the middle of data that are worth a command of their own. */
const ZEROES_WORTH_BYTES = 64 * 1024

/** What one command zeroes: holes need no memory, but progress wants steps. */
const HOLE_PIECE_BYTES = 64 * 1024 * 1024

/** A run of the source, no longer than a piece; `zero`: a hole. */
interface Piece {
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly zero: boolean
}

/**
 * Copies all of `source` to the beginning of `target`, which must be long enough; what lies behind is left alone.
 * Holes are not read, and zeroes are not written where the target reads as zeroes anyway. Flushes at the end.
 *
 * Rejects with SanletError ERR_COPY_SIZE, the signal's reason, or the first failure of an end.
 */
export async function copy(source: CopyEnd, target: CopyEnd, options: CopyOptions): Promise<CopyProgress> {
  checkSizes(source, target)
  const job = new CopyJob(source, target, options)
  await runPieces(
    pieces(source, options.pieceBytes, HOLE_PIECE_BYTES),
    options.depth,
    (piece, memory) => job.copy(piece, memory),
    options,
  )
  await target.flush()
  return job.progress
}

function checkSizes(source: CopyEnd, target: CopyEnd): void {
  const wanted = padded(source.sizeBytes, target.blockBytes)
  if (wanted <= target.sizeBytes) return
  const message = `${target.name} has ${target.sizeBytes} bytes; ${source.name} needs ${wanted}`
  throw new SanletError("ERR_COPY_SIZE", message)
}

const padded = (bytes: number, blockBytes: number): number => Math.ceil(bytes / blockBytes) * blockBytes

class CopyJob {
  readonly #source: CopyEnd
  readonly #target: CopyEnd
  readonly #options: CopyOptions
  #dataBytes = 0
  #zeroBytes = 0

  constructor(source: CopyEnd, target: CopyEnd, options: CopyOptions) {
    this.#source = source
    this.#target = target
    this.#options = options
  }

  get progress(): CopyProgress {
    const [dataBytes, zeroBytes] = [this.#dataBytes, this.#zeroBytes]
    return { totalBytes: this.#source.sizeBytes, doneBytes: dataBytes + zeroBytes, dataBytes, zeroBytes }
  }

  async copy({ offsetBytes, lengthBytes, zero }: Piece, memory: Uint8Array): Promise<void> {
    const target = this.#target
    const whole = padded(lengthBytes, target.blockBytes)
    if (zero) {
      if (!target.blank) await target.zero(offsetBytes, whole)
      this.#zeroBytes += lengthBytes
    } else {
      const bytes = memory.subarray(0, whole)
      bytes.fill(0, lengthBytes)
      await this.#source.read(offsetBytes, bytes.subarray(0, lengthBytes))
      for (const run of splitZeroes(bytes, GRANULE_BYTES, ZEROES_WORTH_BYTES)) {
        const length = run.to - run.from
        if (!run.zero) await target.write(offsetBytes + run.from, bytes.subarray(run.from, run.to))
        else if (!target.blank) await target.zero(offsetBytes + run.from, length)
        const counted = Math.min(length, lengthBytes - run.from)
        if (run.zero) this.#zeroBytes += counted
        else this.#dataBytes += counted
      }
    }
    this.#options.onProgress?.(this.progress)
  }
}

/** Where two ends differ first. */
export interface Difference {
  readonly offsetBytes: number
}

/** Compares `source` with the beginning of `target`; undefined: they are equal. `options` as for `copy`. */
export async function compare(
  source: CopyEnd,
  target: CopyEnd,
  options: CopyOptions,
): Promise<Difference | undefined> {
  checkSizes(source, target)
  let firstBytes = Infinity
  let doneBytes = 0
  const check = async ({ offsetBytes, lengthBytes, zero }: Piece, memory: Uint8Array) => {
    if (offsetBytes > firstBytes) return
    const expected = memory.subarray(0, lengthBytes)
    if (zero) expected.fill(0)
    else await source.read(offsetBytes, expected)
    const found = memory.subarray(
      options.pieceBytes,
      options.pieceBytes + padded(lengthBytes, target.blockBytes),
    )
    await target.read(offsetBytes, found)
    const at = firstDifference(expected, found.subarray(0, lengthBytes))
    if (at !== undefined) firstBytes = Math.min(firstBytes, offsetBytes + at)
    doneBytes += lengthBytes
    options.onProgress?.({ totalBytes: source.sizeBytes, doneBytes, dataBytes: doneBytes, zeroBytes: 0 })
  }
  await runPieces(pieces(source, options.pieceBytes, options.pieceBytes), options.depth, check, options, 2)
  return Number.isFinite(firstBytes) ? { offsetBytes: firstBytes } : undefined
}

function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  if (Buffer.compare(a, b) === 0) return undefined
  const at = a.findIndex((byte, i) => byte !== b[i])
  return at < 0 ? undefined : at
}

/** Runs of the source in order: what `extents` says, cut into pieces. */
async function* pieces(source: CopyEnd, pieceBytes: number, holePieceBytes: number): AsyncGenerator<Piece> {
  let at = 0
  while (at < source.sizeBytes) {
    const answer = source.extents(at, source.sizeBytes - at)
    const extents = isPromise(answer) ? await answer : answer
    const before = at
    for (const extent of extents) {
      const end = extent.offsetBytes + extent.lengthBytes
      const zero = !extent.allocated
      const step = zero ? holePieceBytes : pieceBytes
      for (; at < end; at += Math.min(step, end - at)) {
        yield { offsetBytes: at, lengthBytes: Math.min(step, end - at), zero }
      }
    }
    if (at === before) throw new SanletError("ERR_COPY_EXTENTS", `${source.name} tells nothing of byte ${at}`)
  }
}

/** Hands pieces to `depth` workers, each with memory of its own (`share` pieces of it). */
async function runPieces(
  all: AsyncGenerator<Piece>,
  depth: number,
  work: (piece: Piece, memory: Uint8Array) => Promise<void>,
  { pieceBytes, signal }: CopyOptions,
  share = 1,
): Promise<void> {
  let failed = false
  const worker = async () => {
    const memory = new Uint8Array(pieceBytes * share)
    try {
      while (!failed) {
        signal?.throwIfAborted()
        const next = await all.next()
        if (next.done) return
        await work(next.value, memory)
      }
    } catch (error) {
      failed = true
      throw error
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: depth }, worker))
  const failure = ends.find((end) => end.status === "rejected")
  if (failure) throw failure.reason
}
