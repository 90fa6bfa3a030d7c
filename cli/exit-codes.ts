/** How the program ends; `sanlet --help` tells of them. */
export const ExitCode = {
  success: 0,
  /** It was tried, and failed: no connection, a login refused, an I/O error. */
  failure: 1,
  /** Wrong arguments, or a wrong configuration: nothing was tried. */
  usage: 2,
  /** `copy --verify` found a difference. */
  different: 3,
  /** By SIGINT or SIGTERM, before it was done. */
  interrupted: 130,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
