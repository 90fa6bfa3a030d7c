import { type BlockDevice, BlockSpecialStore, FileStore } from "../backstore/index.ts"
import { SanletError } from "../base/errors.ts"
import type { DiskUnit } from "../scsi/sbc/disk-unit.ts"
import type { Target } from "../target/target.ts"
import type { ConfigurationChange } from "./config/changes.ts"
import type { LogicalUnitConfiguration } from "./config/schema.ts"
import { type DeviceSurroundings, openUnitDevice } from "./devices.ts"
import { formatBytes } from "./sizes.ts"

/** What is served, as far as it can be changed meanwhile. */
export interface Changeable {
  readonly target: (name: string) => Target
  readonly unit: (target: string, lun: number) => DiskUnit
  readonly addUnit: (target: string, unit: LogicalUnitConfiguration) => Promise<void>
  readonly around: DeviceSurroundings
}

/**
 * Makes a change and resolves with what to tell of it. Rejects with SanletError or BlockError, and all is as it was then:
 * ERR_MEDIUM_LOCKED, ERR_DISK_OPTION, StoreOpenError.
 */
export async function carryOut(
  change: Exclude<ConfigurationChange, { kind: "restart" }>,
  served: Changeable,
): Promise<string> {
  switch (change.kind) {
    case "medium":
      return await changeMedium(served.unit(change.target, change.unit.lun), change.unit, served.around)
    case "size":
      return await grow(served.unit(change.target, change.unit.lun), change.sizeBytes)
    case "new unit":
      await served.addUnit(change.target, change.unit)
      return "a new logical unit is served"
    case "access state":
      await served.target(change.target).setAccessState(change.group, change.state)
      return `target port group ${change.group} is ${change.state}`
  }
}

async function changeMedium(
  { tray }: DiskUnit,
  wanted: LogicalUnitConfiguration,
  around: DeviceSurroundings,
): Promise<string> {
  if (tray === undefined) throw new SanletError("ERR_DISK_OPTION", "its medium can't be changed")
  // Before the old one is taken out: where the new one can't be had, that one stays.
  const device = wanted.device && (await openUnitDevice(wanted, around))
  let old: BlockDevice | undefined
  try {
    old = await tray.change(device)
  } catch (error) {
    await device?.close()
    throw error
  }
  const now = device ? `the medium is ${device.name} now` : "the medium was taken out"
  // It was flushed; what closing it says more doesn't put it back.
  return await (old?.close() ?? Promise.resolve()).then(
    () => now,
    (error: unknown) => `${now}; of the old one: ${messageOf(error)}`,
  )
}

async function grow({ device }: DiskUnit, sizeBytes: number): Promise<string> {
  if (sizeBytes < device.sizeBytes) {
    const sizes = `${formatBytes(sizeBytes)}: it has ${formatBytes(device.sizeBytes)}`
    throw new SanletError("ERR_DISK_OPTION", `${device.name} can't shrink to ${sizes}`)
  }
  if (sizeBytes > device.sizeBytes) await device.resize(sizeBytes)
  return `${device.name} has ${formatBytes(sizeBytes)} now`
}

/** Sees what has grown outside: a volume, a file. Undefined: nothing has changed. Rejects with BlockError. */
export async function refreshSize({ device }: DiskUnit): Promise<string | undefined> {
  if (!(device instanceof FileStore || device instanceof BlockSpecialStore)) return undefined
  const before = device.sizeBytes
  const now = await device.refreshSize()
  return now === before ? undefined : `${device.name} has ${formatBytes(now)} now`
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
