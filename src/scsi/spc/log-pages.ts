import type { LogPage } from "../sam/log-page.ts"
import { errorCounterPages } from "./log-error-counters.ts"
import { selfTestResultsPage } from "./log-self-tests.ts"

/** A temperature nobody can tell: a file has none (SPC-4 §7.3). */
const NO_TEMPERATURE = 0xff

/** Temperature (SPC-4 §7.3). There is no reference temperature. */
const temperaturePage: LogPage = {
  code: 0x0d,
  list: () => [{ code: 0x0000, value: Uint8Array.of(0, NO_TEMPERATURE) }],
}

/**
 * Informational Exceptions (SPC-4 §7.3): none is pending, as DEXCPT of the Informational Exceptions Control mode page
 * says.
 */
const informationalExceptionsPage: LogPage = {
  code: 0x2f,
  list: () => [{ code: 0x0000, value: Uint8Array.of(0, 0, NO_TEMPERATURE, 0) }],
}

/** The log pages every logical unit has, by rising code. A device type adds its own. */
export const spcLogPages: readonly LogPage[] = [
  ...errorCounterPages,
  temperaturePage,
  selfTestResultsPage,
  informationalExceptionsPage,
]
