import { systemClock, type Clock } from "../src/base/clock.ts"
import { type Style, styleFor } from "./output/style.ts"

interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** What a command has to do with the world around it; tests bring their own. */
export interface Terminal {
  /** Results. */
  readonly out: Output
  /** Everything else: progress, hints, errors, the log. */
  readonly err: Output
  readonly env: NodeJS.ProcessEnv
  readonly clock: Clock
  /** Colours for `out` and for `err`. */
  readonly style: Style
  readonly errStyle: Style
}

export function processTerminal(): Terminal {
  const { stdout: out, stderr: err, env } = process
  return { out, err, env, clock: systemClock, style: styleFor(out, env), errStyle: styleFor(err, env) }
}

export const print = (terminal: Terminal, ...lines: string[]): void => {
  for (const line of lines) terminal.out.write(`${line}\n`)
}

export const tell = (terminal: Terminal, ...lines: string[]): void => {
  for (const line of lines) terminal.err.write(`${line}\n`)
}

export const printJson = (terminal: Terminal, value: unknown): void => print(terminal, JSON.stringify(value))
