import fs from "node:fs/promises"
import { constants } from "node:fs"
import { openErrorOf } from "./errors.ts"
import type { CacheMode } from "./kernel-store.ts"
import type { SystemCalls } from "./system-calls.ts"

/** The descriptors of a store that is being opened; closed together when that fails. */
export class Descriptors {
  readonly list: number[] = []
  readonly #system: SystemCalls
  readonly #path: string

  constructor(system: SystemCalls, path: string) {
    this.#system = system
    this.#path = path
  }

  /** Returns the descriptor or a negative errno. */
  async tryOpen(flags: number, mode?: number): Promise<number> {
    const fd = await this.#system.open(this.#path, flags, mode)
    if (fd >= 0) this.list.push(fd)
    return fd
  }

  /** Throws StoreOpenError. */
  async open(flags: number): Promise<number> {
    const fd = await this.tryOpen(flags)
    if (fd < 0) throw openErrorOf(fd, this.#path)
    return fd
  }

  /** Opens what `fd` is open on once more, whatever its path names by now. Throws StoreOpenError. */
  async again(fd: number, flags: number): Promise<number> {
    const same = await this.#system.open(`/proc/self/fd/${fd}`, flags)
    if (same < 0) return this.open(flags)
    this.list.push(same)
    return same
  }

  async close(): Promise<void> {
    for (const fd of this.list.splice(0)) await this.#system.close(fd)
  }
}

/** The data descriptor and the one for FUA, opened on the same file as `fd` as the cache mode asks. */
export async function openForMode(
  descriptors: Descriptors,
  fd: number,
  cache: CacheMode,
  readOnly: boolean,
): Promise<{ fd: number; stableFd: number | undefined }> {
  const access = readOnly ? constants.O_RDONLY : constants.O_RDWR
  const direct = cache === "direct" ? constants.O_DIRECT : 0
  const dataFd = direct === 0 ? fd : await descriptors.again(fd, access | direct)
  const stable = constants.O_DSYNC as number | undefined // not on every system
  if (readOnly || cache === "write-through" || stable === undefined)
    return { fd: dataFd, stableFd: undefined }
  return { fd: dataFd, stableFd: await descriptors.again(fd, access | direct | stable) }
}

/** Where sysfs describes a block device, by its number (st_rdev). */
function sysfsPath(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn)
  return `/sys/dev/block/${major}:${minor}`
}

/** A number from the description of a block device's queue in sysfs; undefined when there's none. */
export async function readQueue(device: bigint, attribute: string): Promise<number | undefined> {
  // A partition has no queue of its own: its parent directory, where the link really leads, is the disk's.
  return (
    (await readNumber(`${sysfsPath(device)}/queue/${attribute}`)) ??
    (await readNumber(`${sysfsPath(device)}/../queue/${attribute}`))
  )
}

/** The size of a block device in sectors of 512 bytes, by sysfs; undefined when it has no description there. */
export function readSectors(device: bigint): Promise<number | undefined> {
  return readNumber(`${sysfsPath(device)}/size`)
}

async function readNumber(path: string): Promise<number | undefined> {
  try {
    const value = Number(await fs.readFile(path, "utf8"))
    return Number.isFinite(value) ? value : undefined
  } catch {
    return undefined
  }
}
