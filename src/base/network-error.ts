import { SanletError } from "./errors.ts"

/** A connection could not be made, accepted or kept. `systemCode` is the operating system's name for it, as "ECONNREFUSED". */
export class NetworkError extends SanletError {
  readonly systemCode: string | undefined

  constructor(code: string, message: string, systemCode?: string, options?: ErrorOptions) {
    super(code, message, options)
    this.systemCode = systemCode
  }
}
