import { type LogLevel } from "../src/base/log-level.ts"
import type { Log } from "../src/base/log.ts"
import { textLog } from "../src/base/log-text.ts"
import { wantsColour } from "./output/style.ts"
import type { Terminal } from "./terminal.ts"

export type LogFormat = "auto" | "json" | "text"

/** The log on the standard error: for people on a terminal, JSON elsewhere. */
export async function openLog(terminal: Terminal, level: LogLevel, format: LogFormat): Promise<Log> {
  const { err, env, clock } = terminal
  if (format === "text" || (format === "auto" && err.isTTY === true)) {
    return textLog({ level, clock, colour: wantsColour(err, env), write: (line) => err.write(line) })
  }
  // Loaded only when it is used: it takes a third of the time a short command takes.
  const { jsonLog } = await import("../src/base/log-json.ts")
  return jsonLog({ level, fd: 2 })
}
