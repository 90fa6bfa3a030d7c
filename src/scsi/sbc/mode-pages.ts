import type { Completion } from "../../base/completion.ts"
import type { ModePage } from "../sam/mode-page.ts"
import { spcModePages } from "../spc/index.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { thresholdPage } from "./provisioning-threshold.ts"

const RECOVERY_BYTES = 0x0a
const CACHING_BYTES = 0x12
/** In the first byte behind PAGE LENGTH. */
const WCE = 0x04

/** LBPERE, in byte 7 of the page. */
const LBPERE_AT = 5
const LBPERE = 0x80

const recovery = (provisioningReports: boolean): Uint8Array => {
  const page = new Uint8Array(RECOVERY_BYTES)
  if (provisioningReports) page[LBPERE_AT] = LBPERE
  return page
}

/**
 * Read-Write Error Recovery mode page (SBC-3): no error is hidden, no retry is counted. Where there is a provisioning
 * threshold LBPERE can be set.
 */
const errorRecovery: ModePage<DiskUnit> = {
  code: 0x01,
  bytes: RECOVERY_BYTES,
  current: (unit) => recovery(unit.threshold?.reporting ?? false),
  defaults: () => recovery(false),
  changeable: (unit) => recovery(unit.threshold !== undefined),
  select: (unit, page) => {
    if (unit.threshold !== undefined) unit.threshold.reporting = (page[LBPERE_AT]! & LBPERE) !== 0
  },
}

const caching = (writeCacheEnabled: boolean): Uint8Array => {
  const page = new Uint8Array(CACHING_BYTES)
  if (writeCacheEnabled) page[0] = WCE
  return page
}

/**
 * Caching mode page (SBC-3). WCE tells whether acknowledged writes may be lost with the power; where the device has a
 * volatile cache it can be cleared, and every write is stable from then on. Reads always use the cache (RCD is 0).
 */
const cachingPage: ModePage<DiskUnit> = {
  code: 0x08,
  bytes: CACHING_BYTES,
  current: (unit) => caching(unit.writeCacheEnabled),
  defaults: (unit) => caching(unit.writeCacheDefault),
  cautious: () => caching(false),
  changeable: (unit) => caching(unit.device.features.writeCache),
  select: (unit, page, task): Completion => {
    const enable = (page[0]! & WCE) !== 0
    unit.medium.writeThrough = unit.device.features.writeCache && !enable
    // What was acknowledged out of the cache is now expected to be stable.
    if (!enable && task) return unit.medium.flush(task)
  },
}

/** Logical Block Provisioning mode page (SBC-4 §6.5.9). */
const provisioningPage: ModePage<DiskUnit> = {
  code: 0x1c,
  subpage: 0x02,
  bytes: thresholdPage.bytes,
  current: (unit) => unit.threshold?.page() ?? thresholdPage.defaults(),
  defaults: thresholdPage.defaults,
  changeable: thresholdPage.changeable,
  select: (unit, page) => unit.threshold?.select(page),
}

const pages: readonly ModePage[] = [errorRecovery, cachingPage, ...spcModePages]
const pagesWithThreshold: readonly ModePage[] = [...pages, provisioningPage]

/** The mode pages of a disk, by rising code. */
export const diskModePages = (withThreshold: boolean): readonly ModePage[] =>
  withThreshold ? pagesWithThreshold : pages
