import { constants } from "node:os"

/** An error as node:fs has them. */
export class Errno extends Error {
  readonly code: keyof typeof constants.errno
  readonly errno: number

  constructor(code: keyof typeof constants.errno) {
    super(`${code}: simulated`)
    this.code = code
    this.errno = -constants.errno[code]
  }
}
