import type { Clock } from "../../src/base/clock.ts"
import { formatBytes } from "../../src/control/sizes.ts"
import { formatRate, formatSeconds } from "./numbers.ts"
import type { Style } from "./style.ts"

export interface ProgressState {
  readonly doneBytes: number
  readonly totalBytes: number
  readonly bytesPerSecond: number
}

const BLOCKS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
const BAR_COLUMNS_MAX = 32

/** "copying  ██████▌░░░░  42 %  4.2 of 10 GiB  812 MiB/s  7 s left", no longer than the terminal is wide. */
export function progressLine(what: string, state: ProgressState, columns: number, style: Style): string {
  const { doneBytes, totalBytes, bytesPerSecond } = state
  const share = totalBytes > 0 ? Math.min(1, doneBytes / totalBytes) : 1
  const left = bytesPerSecond > 0 ? (totalBytes - doneBytes) / bytesPerSecond : Infinity
  const percent = `${String(Math.floor(share * 100)).padStart(3)} %`
  const amounts = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`
  const speed = formatRate(bytesPerSecond)
  const eta = doneBytes >= totalBytes ? "" : `${formatSeconds(left)} left`
  const words = [percent, amounts, speed, eta]
  const taken = what.length + 2 + words.join("  ").length + 2
  const width = Math.min(BAR_COLUMNS_MAX, columns - taken - 1)
  const shown = width >= 8 ? [what, bar(share, width, style), ...words] : [what, percent, speed, eta]
  return shown.filter((word) => word !== "").join("  ")
}

function bar(share: number, width: number, style: Style): string {
  const eighths = Math.round(share * width * 8)
  const full = "█".repeat(Math.floor(eighths / 8)) + BLOCKS[eighths % 8]!
  return style.cyan(full) + style.dim("░".repeat(Math.max(0, width - full.length)))
}

/** The rate over the last few seconds: what was long ago says nothing about what is left. */
export class RateMeter {
  readonly #clock: Clock
  readonly #samples: { atMs: number; bytes: number }[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Bytes per second, now that `bytes` are done in all. */
  update(bytes: number): number {
    const atMs = this.#clock.nowMs()
    this.#samples.push({ atMs, bytes })
    while (this.#samples.length > 2 && atMs - this.#samples[0]!.atMs > WINDOW_MS) this.#samples.shift()
    const first = this.#samples[0]!
    return atMs > first.atMs ? ((bytes - first.bytes) * 1000) / (atMs - first.atMs) : 0
  }
}

const WINDOW_MS = 5000
const REDRAW_MS = 100

interface TerminalStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** A line at the foot of a terminal that is drawn again and again. Elsewhere it draws nothing. */
export class LiveLine {
  readonly #stream: TerminalStream
  readonly #clock: Clock
  #drawnAtMs = Number.NEGATIVE_INFINITY
  #shown = false

  constructor(stream: TerminalStream, clock: Clock) {
    this.#stream = stream
    this.#clock = clock
  }

  get columns(): number {
    return this.#stream.columns ?? 80
  }

  /** Asks for the text only when it is time to draw. */
  update(text: () => string): void {
    if (!this.#stream.isTTY) return
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#drawnAtMs < REDRAW_MS) return
    this.#drawnAtMs = nowMs
    this.#shown = true
    this.#stream.write(`\r${text()}\x1b[K`)
  }

  /** Takes the line away. */
  clear(): void {
    if (!this.#shown) return
    this.#shown = false
    this.#drawnAtMs = Number.NEGATIVE_INFINITY
    this.#stream.write("\r\x1b[K")
  }
}
