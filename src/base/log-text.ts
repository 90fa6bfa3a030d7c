import type { Clock } from "./clock.ts"
import type { Log, LogFields } from "./log.ts"
import type { LogLevel } from "./log-level.ts"
import { passes } from "./log-level.ts"

const colours: Readonly<Record<LogLevel, string>> = { debug: "2", info: "32", warn: "33", error: "31" }

export interface TextLogOptions {
  readonly level: LogLevel
  readonly clock: Clock
  readonly colour: boolean
  readonly write: (line: string) => void
}

/** A log for people: "14:03:07 info  login accepted  initiator=iqn.… target=iqn.…". */
export function textLog({ level, clock, colour, write }: TextLogOptions): Log {
  const paint = (code: string, text: string): string => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)
  const line = (at: LogLevel) => (fields: LogFields, message: string) => {
    if (!passes(at, level)) return
    const time = new Date(clock.wallMs()).toTimeString().slice(0, 8)
    const told = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => ` ${paint("2", `${key}=`)}${quote(String(value))}`)
    write(`${paint("2", time)} ${paint(colours[at], at.padEnd(5))} ${printable(message)}${told.join("")}\n`)
  }
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") }
}

const quote = (value: string): string =>
  /^[\x21-\x7e]+$/.test(value) ? value : JSON.stringify(printable(value))

/** What a peer sends must not steer the terminal. */
// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const printable = (text: string): string => text.replace(/[\x00-\x1f\x7f-\x9f]/g, "?")
