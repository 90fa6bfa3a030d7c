import type { LogPage } from "../sam/log-page.ts"
import { Asc } from "../spec/sense.ts"
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
 * Informational Exceptions (SPC-4 §7.3): the one that is pending, however it is reported. The last byte is the vendor's;
 * sg3_utils and smartmontools take it for a temperature that is not to be exceeded.
 */
const informationalExceptionsPage: LogPage = {
  code: 0x2f,
  resetList: ({ exceptions, selfTests }) => exceptions.dismiss(selfTests),
  list: ({ exceptions, selfTests }) => {
    const asc = exceptions.pending(selfTests) ?? Asc.noAdditionalSense
    return [{ code: 0x0000, value: Uint8Array.of(asc >> 8, asc & 0xff, NO_TEMPERATURE, NO_TEMPERATURE) }]
  },
}

/** The log pages every logical unit has, by rising code. A device type adds its own. */
export const spcLogPages: readonly LogPage[] = [
  ...errorCounterPages,
  temperaturePage,
  selfTestResultsPage,
  informationalExceptionsPage,
]
