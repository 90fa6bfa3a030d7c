import { destination, pino } from "pino"
import type { Log } from "./log.ts"
import type { LogLevel } from "./log-level.ts"

export interface JsonLogOptions {
  readonly level: LogLevel
  /** Where the lines go; 2 is the standard error. */
  readonly fd: number
}

/**
 * A log for machines: one JSON object per line with `level` as a word, `time` in milliseconds since 1970, `message`
 * and the fields. Written at once, so that nothing is lost with the process.
 */
export function jsonLog({ level, fd }: JsonLogOptions): Log {
  const options = {
    level,
    base: null,
    messageKey: "message",
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const logger = pino(options, destination({ fd, sync: true }))
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  }
}
