import { putU16 } from "../cdb/fields.ts"
import type { ModePage } from "../sam/mode-page.ts"
import { diskModePages } from "../sbc/mode-pages.ts"
import { spcModePages } from "../spc/index.ts"
import type { CdUnit } from "./cd-unit.ts"
import { READ_KILOBYTES_PER_SECOND } from "./drive.ts"

const fixed = (code: number, bytes: number): ModePage<CdUnit> => ({
  code,
  bytes,
  current: () => new Uint8Array(bytes),
  defaults: () => new Uint8Array(bytes),
})

/** Power Condition (SPC-4 §7.5.13): no timer is set, and none can be. */
const powerConditionPage = fixed(0x1a, 0x0a)

/** Timeout and Protect (MMC-6): no timeouts are to be expected. */
const timeoutAndProtectPage = fixed(0x1d, 0x08)

const CAPABILITIES_BYTES = 0x14
const DVD_ROM_READ = 0x08
/** A tray, EJECT, LOCK. */
const TRAY_EJECT_LOCK = 0x20 | 0x08 | 0x01
const LOCK_STATE = 0x02
const BUFFER_KIBIBYTES = 1024

const capabilities = (locked: boolean): Uint8Array => {
  const page = new Uint8Array(CAPABILITIES_BYTES)
  page[0] = DVD_ROM_READ
  page[4] = TRAY_EJECT_LOCK | (locked ? LOCK_STATE : 0)
  putU16(page, 6, READ_KILOBYTES_PER_SECOND)
  putU16(page, 10, BUFFER_KIBIBYTES)
  putU16(page, 12, READ_KILOBYTES_PER_SECOND)
  return page
}

/** MM Capabilities and Mechanical Status, a legacy page (MMC-3), by which Linux' sr learns what a drive is. */
const capabilitiesPage: ModePage<CdUnit> = {
  code: 0x2a,
  bytes: CAPABILITIES_BYTES,
  current: ({ drive }) => capabilities(drive.locked),
  defaults: () => capabilities(false),
}

/** A disc's errors are told as a disk's are: Read Error Recovery (MMC-6) has the same layout. */
const errorRecoveryPage = diskModePages(false).filter(({ code }) => code === 0x01)

/** The mode pages of a CD-ROM drive, by rising code. */
export const cdModePages: readonly ModePage[] = [
  ...errorRecoveryPage,
  ...spcModePages,
  powerConditionPage,
  timeoutAndProtectPage,
  capabilitiesPage,
].toSorted((a, b) => a.code - b.code || (a.subpage ?? 0) - (b.subpage ?? 0))
