import { COPY_DEPTH, COPY_STEP_BYTES } from "../../../base/limits.ts"
import type { CopyEnd } from "./copy-end.ts"
import type { CopyOperation } from "./operation.ts"

export interface CopyRunOptions {
  readonly source: CopyEnd
  readonly sourceBytes: number
  readonly destination: CopyEnd
  readonly destinationBytes: number
  readonly lengthBytes: number
  /** What becomes of the rest of the last block, if the run ends within it. */
  readonly rest: "kept" | "zeroes"
  /** Throws when what was read since the last call must not be used. */
  readonly check?: () => void
}

/** A part of a run; `from` and `to` are where it lies at the destination. */
interface Step {
  readonly index: number
  readonly from: number
  readonly to: number
}

/**
 * Copies a run of bytes, in steps, up to COPY_DEPTH of them at the same time. A run that overlaps itself arrives as it was: its
 * steps come one by one, from the end that isn't overwritten before it is read. What has arrived counts as the
 * operation's bytes as far as there is no gap.
 */
export async function copyRun(operation: CopyOperation, options: CopyRunOptions): Promise<void> {
  const run = new Run(operation, options)
  await run.copy()
}

class Run {
  readonly #operation: CopyOperation
  readonly #options: CopyRunOptions
  readonly #overlapping: boolean
  readonly #backwards: boolean
  readonly #first: number
  readonly #end: number
  readonly #steps: number
  /** The devices copy by themselves, until they say they can't. */
  #native: boolean
  /** What has no storage gets none. */
  readonly #keepsHoles: boolean
  #begun = 0
  /** Steps that have arrived without a gap, and those behind the gap. */
  #arrived = 0
  readonly #ahead = new Map<number, number>()

  constructor(operation: CopyOperation, options: CopyRunOptions) {
    const { source, sourceBytes, destination, destinationBytes, lengthBytes } = options
    const { blockBytes, device } = destination.unit
    this.#operation = operation
    this.#options = options
    const distance = destinationBytes - sourceBytes
    this.#overlapping = device === source.unit.device && Math.abs(distance) < lengthBytes
    this.#backwards = this.#overlapping && distance > 0
    this.#first = Math.floor(destinationBytes / blockBytes) * blockBytes
    this.#end = destinationBytes + lengthBytes
    this.#steps = Math.ceil((this.#end - this.#first) / COPY_STEP_BYTES)
    this.#native = !this.#overlapping && device.copyFrom !== undefined
    this.#keepsHoles = destination.unit.thin && source.unit.device.features.extents
  }

  async copy(): Promise<void> {
    if (this.#options.lengthBytes === 0) return
    const depth = this.#overlapping ? 1 : Math.min(COPY_DEPTH, this.#steps)
    let failed = false
    const worker = async (): Promise<void> => {
      const memory = new StepMemory()
      try {
        for (let step = this.#next(); step !== undefined && !failed; step = this.#next()) {
          await this.#copyStep(step, memory)
          this.#count(step)
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

  #next(): Step | undefined {
    if (this.#begun === this.#steps) return undefined
    const index = this.#begun++
    const place = this.#backwards ? this.#steps - 1 - index : index
    const start = this.#first + place * COPY_STEP_BYTES
    return {
      index,
      from: Math.max(start, this.#options.destinationBytes),
      to: Math.min(start + COPY_STEP_BYTES, this.#end),
    }
  }

  /** Backwards nothing has arrived until everything has. */
  #count({ index, from, to }: Step): void {
    this.#ahead.set(index, to - from)
    for (let bytes = this.#ahead.get(this.#arrived); bytes !== undefined; ) {
      this.#ahead.delete(this.#arrived++)
      if (!this.#backwards) this.#operation.bytes += bytes
      bytes = this.#ahead.get(this.#arrived)
    }
    if (this.#backwards && this.#arrived === this.#steps) this.#operation.bytes += this.#options.lengthBytes
  }

  async #copyStep({ from, to }: Step, memory: StepMemory): Promise<void> {
    const { source, sourceBytes, destination, destinationBytes, rest, check } = this.#options
    const at = sourceBytes + from - destinationBytes
    const length = to - from
    const whole = isWhole(destination, from, length)
    if (whole && isWhole(source, at, length)) {
      if (this.#keepsHoles && (await source.isHole(at, length))) {
        check?.()
        return destination.zero(from, length)
      }
      if (this.#native) {
        this.#native = await this.#copyNatively(at, from, length)
        check?.()
        if (this.#native) return
      }
    }
    const data = await readBytes(source, at, length, memory)
    check?.()
    return whole ? destination.write(from, data) : writePart(destination, from, data, rest, this.#operation)
  }

  #copyNatively(at: number, from: number, lengthBytes: number): Promise<boolean> {
    const { source, destination } = this.#options
    return source.attempt(at, lengthBytes, () =>
      destination.attempt(from, lengthBytes, () =>
        destination.unit.medium.copyFrom(source.unit.medium, at, from, lengthBytes, this.#operation),
      ),
    )
  }
}

/** What a step is carried in: as long as a step with a block more at either side, made when first needed. */
class StepMemory {
  #memory: Buffer | undefined

  take(bytes: number): Buffer {
    if (this.#memory === undefined || this.#memory.length < bytes)
      this.#memory = Buffer.allocUnsafeSlow(bytes)
    return this.#memory.subarray(0, bytes)
  }
}

const isWhole = ({ unit: { blockBytes } }: CopyEnd, offset: number, length: number): boolean =>
  offset % blockBytes === 0 && length % blockBytes === 0

/** The whole blocks a run of bytes lies in. */
function blocksOf(blockBytes: number, offset: number, length: number): { start: number; bytes: number } {
  const start = Math.floor(offset / blockBytes) * blockBytes
  return { start, bytes: Math.ceil((offset + length) / blockBytes) * blockBytes - start }
}

/** Reads bytes that needn't be whole blocks. */
async function readBytes(end: CopyEnd, offset: number, length: number, memory: StepMemory): Promise<Buffer> {
  const { start, bytes } = blocksOf(end.unit.blockBytes, offset, length)
  const blocks = memory.take(bytes)
  await end.read(start, blocks)
  return blocks.subarray(offset - start, offset - start + length)
}

/**
 * Writes bytes that needn't be whole blocks. What else is in their first block is kept, whoever writes at the same time; so is what
 * is behind them in their last one, or it becomes zeroes.
 */
function writePart(
  end: CopyEnd,
  offset: number,
  data: Buffer,
  rest: "kept" | "zeroes",
  operation: CopyOperation,
): Promise<void> {
  const { blockBytes, medium } = end.unit
  const { start, bytes } = blocksOf(blockBytes, offset, data.length)
  const blocks = Buffer.alloc(bytes)
  const last = bytes - blockBytes
  const tail = rest === "kept" && (offset + data.length) % blockBytes !== 0
  return end.attempt(start, bytes, () =>
    medium.alone(start, bytes, operation, async () => {
      if (tail) await medium.read(start + last, blocks.subarray(last), operation)
      if (offset > start) {
        const first = tail && last === 0 ? blocks.subarray(0, blockBytes) : Buffer.alloc(blockBytes)
        if (!tail || last > 0) await medium.read(start, first, operation)
        first.copy(blocks, 0, 0, offset - start)
      }
      data.copy(blocks, offset - start)
      await medium.writeHeld(start, blocks, false, operation)
    }),
  )
}
