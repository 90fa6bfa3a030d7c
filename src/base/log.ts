export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

/** Where lines for the operator go: one per login, logout, failure and task management function, none per I/O. */
export interface Log {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

const ignore = () => {}
export const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore }
