import type { ModePage } from "../sam/mode-page.ts"
import { controlPage } from "./control-page.ts"

const EXCEPTIONS_BYTES = 0x0a

/** DEXCPT: no informational exception is ever reported, so METHOD OF REPORTING is 0. */
const exceptions = (): Uint8Array => {
  const page = new Uint8Array(EXCEPTIONS_BYTES)
  page[0] = 0x08
  return page
}

/** Informational Exceptions Control (SPC-4 §7.5.11). */
const informationalExceptionsPage: ModePage = {
  code: 0x1c,
  bytes: EXCEPTIONS_BYTES,
  current: exceptions,
  defaults: exceptions,
}

/** The mode pages every logical unit has. A device type adds its own. */
export const spcModePages: readonly ModePage[] = [controlPage, informationalExceptionsPage]
