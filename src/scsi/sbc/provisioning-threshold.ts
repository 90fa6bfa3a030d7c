import type { Clock, Timer } from "../../base/clock.ts"
import { THRESHOLD_POLL_MS } from "../../base/limits.ts"
import { putU32, u32 } from "../cdb/fields.ts"
import { Asc } from "../spec/sense.ts"
import type { DiskUnit } from "./disk-unit.ts"

/** The mode page behind its header: SITUA, which stays 0, then the threshold descriptors. */
const PAGE_BYTES = 20
const DESCRIPTOR_AT = 12
/** As sense data tells of the descriptor, and the standard counts: from the page's beginning. */
export const DESCRIPTOR_IN_PAGE = 4 + DESCRIPTOR_AT
const COUNT_AT = DESCRIPTOR_AT + 4
const ENABLED = 0x80
/** THRESHOLD TYPE 000b (a soft threshold), THRESHOLD ARMING 001b (increasing), THRESHOLD RESOURCE 02h (blocks in use). */
const INCREASING = 0x01
const USED_RESOURCES = 0x02
const SET_BYTES = 1024 * 1024

/** The smallest THRESHOLD EXPONENT with which 32 bits can count the threshold sets of so many blocks. */
export const exponentMin = (blocks: number): number => Math.max(0, Math.ceil(Math.log2(blocks + 1)) - 32)

/**
 * The one threshold of a thin unit whose device tells how much storage it takes (SBC-4 §4.7.3.7): when more blocks than
 * that have storage, each nexus gets THIN PROVISIONING SOFT THRESHOLD REACHED, once, until their number has been lower.
 *
 * The device is asked now and then, not at each write, and only while somebody has both switches on: ENABLED here and
 * LBPERE of the Read-Write Error Recovery mode page.
 */
export class ProvisioningThreshold {
  readonly #unit: DiskUnit
  readonly #clock: Clock
  #reporting = false
  #enabled = false
  /** In threshold sets. */
  #count = 0
  /** The number of blocks in use was low enough since the last notification. */
  #armed = true
  #timer: Timer | undefined

  constructor(unit: DiskUnit, clock: Clock) {
    this.#unit = unit
    this.#clock = clock
  }

  /** THRESHOLD EXPONENT. */
  get exponent(): number {
    const { blockBytes, blocks } = this.#unit
    return Math.max(Math.log2(SET_BYTES / blockBytes), exponentMin(blocks))
  }

  /** LBPERE. */
  get reporting(): boolean {
    return this.#reporting
  }

  set reporting(on: boolean) {
    this.#reporting = on
    this.#watch()
  }

  /** The Logical Block Provisioning mode page (SBC-4 §6.5.9). */
  page(): Uint8Array {
    return pageOf(this.#enabled, this.#count)
  }

  select(page: Uint8Array): void {
    this.#enabled = (page[DESCRIPTOR_AT]! & ENABLED) !== 0
    this.#count = u32(page, COUNT_AT)
    this.#armed = true
    this.#watch()
  }

  /** What a logical unit reset brings back. */
  reset(): void {
    this.#reporting = false
    this.#enabled = false
    this.#count = 0
    this.#watch()
  }

  /** Asks the device no more. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #watch(): void {
    this.stop()
    if (!this.#reporting || !this.#enabled) return
    const timer = this.#clock.after(THRESHOLD_POLL_MS, "provisioning threshold", () => {
      void this.#look().then(() => {
        // Unless it was stopped or begun anew meanwhile.
        if (this.#timer === timer) this.#watch()
      })
    })
    this.#timer = timer
  }

  async #look(): Promise<void> {
    const { device, blockBytes } = this.#unit
    let usedBytes: number | undefined
    try {
      usedBytes = await device.usedBytes?.()
    } catch {
      return // the commands that meet the failure will tell of it
    }
    if (usedBytes === undefined || this.#timer === undefined) return
    const used = usedBytes / blockBytes
    const setBlocks = 2 ** this.exponent
    if (used < (this.#count - 0.5) * setBlocks) this.#armed = true
    if (!this.#armed || used <= (this.#count + 0.5) * setBlocks) return
    this.#armed = false
    this.#unit.establishUnitAttention(Asc.thinProvisioningSoftThresholdReached)
  }
}

function pageOf(enabled: boolean, count: number): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES)
  page[DESCRIPTOR_AT] = (enabled ? ENABLED : 0) | INCREASING
  page[DESCRIPTOR_AT + 1] = USED_RESOURCES
  putU32(page, COUNT_AT, count)
  return page
}

export const thresholdPage = {
  bytes: PAGE_BYTES,
  defaults: (): Uint8Array => pageOf(false, 0),
  changeable: (): Uint8Array => {
    const page = new Uint8Array(PAGE_BYTES)
    page[DESCRIPTOR_AT] = ENABLED
    putU32(page, COUNT_AT, 0xffff_ffff)
    return page
  },
} as const
