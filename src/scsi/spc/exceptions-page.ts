import { invalidFieldInParameterList } from "../sam/field-error.ts"
import { InformationalExceptions, type ReportingMethod } from "../sam/informational-exceptions.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import type { ModePage } from "../sam/mode-page.ts"

const BYTES = 0x0a

const DEXCPT = 0x08
const TEST = 0x04
const EBACKERR = 0x02
const MRIE = 0x0f
/** Of MRIE: 0h, 2h and 6h are known. */
const MRIE_CHANGEABLE = 0x06
const MRIE_RECOVERED_ERROR = 0x04

function pageOf({ disabled, test, backgroundErrors, method }: InformationalExceptions): Uint8Array {
  const page = new Uint8Array(BYTES)
  page[0] = (disabled ? DEXCPT : 0) | (test ? TEST : 0) | (backgroundErrors ? EBACKERR : 0)
  page[1] = method
  return page
}

function check(_unit: LogicalUnit, page: Uint8Array, at: number): void {
  if ((page[1]! & MRIE) === MRIE_RECOVERED_ERROR) {
    throw invalidFieldInParameterList(
      "MRIE 4h is not known: no command is ended with an error that isn't its own",
      at + 1,
      3,
    )
  }
  if ((page[0]! & DEXCPT) !== 0 && (page[0]! & TEST) !== 0) {
    throw invalidFieldInParameterList("TEST is no use with DEXCPT", at, 2)
  }
}

function select(unit: LogicalUnit, page: Uint8Array): void {
  const { exceptions } = unit
  exceptions.disabled = (page[0]! & DEXCPT) !== 0
  exceptions.test = (page[0]! & TEST) !== 0
  exceptions.backgroundErrors = (page[0]! & EBACKERR) !== 0
  exceptions.method = (page[1]! & MRIE) as ReportingMethod
  if (exceptions.test) unit.exceptionArose()
}

/**
 * Informational Exceptions Control (SPC-4 §7.5.11). There are no warnings (EWASC is 0), and each exception is reported once:
 * the timer and the count are 0.
 */
export const informationalExceptionsPage: ModePage = {
  code: 0x1c,
  bytes: BYTES,
  current: ({ exceptions }) => pageOf(exceptions),
  defaults: () => pageOf(new InformationalExceptions()),
  changeable: () =>
    Uint8Array.from({ length: BYTES }, (_, at) => [DEXCPT | TEST | EBACKERR, MRIE_CHANGEABLE][at] ?? 0),
  check,
  select,
}
