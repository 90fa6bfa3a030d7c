import type { Clock } from "../../src/base/clock.ts"
import type { Log, LogFields } from "../../src/base/log.ts"

import { type DaTrace, daPrimitives } from "../../src/iscsi/index.ts"
import { subscribe, unsubscribe } from "node:diagnostics_channel"

/** What happened last in a run, for the report of a failing seed. Runs that go well keep none. */
export class Trace {
  readonly #clock: Clock
  readonly #lines: string[] = []
  readonly #linesMax: number

  /** Over TCP the PDUs themselves are watched. */
  readonly #primitive = (message: unknown) => {
    const trace = message as DaTrace
    if (trace.transport === "iser") this.add(() => primitiveText(trace))
  }

  /** `linesMax` 0: nothing is kept. */
  constructor(clock: Clock, linesMax: number) {
    this.#clock = clock
    this.#linesMax = linesMax
    if (this.on) for (const name of daPrimitives) subscribe(`sanlet:da:${name}`, this.#primitive)
  }

  end(): void {
    if (this.on) for (const name of daPrimitives) unsubscribe(`sanlet:da:${name}`, this.#primitive)
  }

  get on(): boolean {
    return this.#linesMax > 0
  }

  /** `line` is asked for only when it's kept. */
  add(line: () => string): void {
    if (!this.on) return
    this.#lines.push(`${this.#clock.nowMs().toFixed(3).padStart(12)}  ${line()}`)
    if (this.#lines.length >= 2 * this.#linesMax) this.#lines.splice(0, this.#linesMax)
  }

  get text(): string {
    return this.#lines.slice(-this.#linesMax).join("\n")
  }

  /** Where the log lines of `who` go. */
  log(who: string): Log {
    const line = (level: string) => (fields: LogFields, message: string) =>
      this.add(() => `${who} ${level}: ${message} ${JSON.stringify(fields)}`)
    return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") }
  }
}

function primitiveText({
  primitive,
  direction,
  role,
  connection: _connection,
  local,
  remote,
  pdu,
  ...rest
}: DaTrace): string {
  const port = role === "target" ? remote.port : local.port
  const { transport: _, initiatorTaskTag, error, ...details } = rest
  const fields = Object.entries({ initiatorTaskTag, ...details, error: error?.message })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${String(value)}`)
  const title = pdu ? ` ${pdu.pdu}` : ""
  return `${port} ${role} ${direction === "down" ? "v" : "^"} ${primitive}${title} ${fields.join(" ")}`
}
