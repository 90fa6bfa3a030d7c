import type { Completion } from "../../base/completion.ts"
import type { ModePage } from "../sam/mode-page.ts"
import { spcModePages } from "../spc/index.ts"
import type { DiskUnit } from "./disk-unit.ts"

const RECOVERY_BYTES = 0x0a
const CACHING_BYTES = 0x12
/** In the first byte behind PAGE LENGTH. */
const WCE = 0x04

/** Read-Write Error Recovery mode page (SBC-3): no error is hidden, no retry is counted, nothing can be set. */
const errorRecovery: ModePage<DiskUnit> = {
  code: 0x01,
  bytes: RECOVERY_BYTES,
  current: () => new Uint8Array(RECOVERY_BYTES),
  defaults: () => new Uint8Array(RECOVERY_BYTES),
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
  changeable: (unit) => caching(unit.device.features.writeCache),
  select: (unit, page, task): Completion => {
    const enable = (page[0]! & WCE) !== 0
    unit.medium.writeThrough = unit.device.features.writeCache && !enable
    // What was acknowledged out of the cache is now expected to be stable.
    if (!enable && task) return unit.medium.flush(task)
  },
}

/** The mode pages of a disk, by rising code. */
export const diskModePages: readonly ModePage[] = [errorRecovery, cachingPage, ...spcModePages]
