export const logLevels = ["error", "warn", "info", "debug"] as const

/** The least important lines that are still written. */
export type LogLevel = (typeof logLevels)[number]

/** Whether a line of level `at` is written by a log of level `level`. */
export const passes = (at: LogLevel, level: LogLevel): boolean =>
  logLevels.indexOf(at) <= logLevels.indexOf(level)
