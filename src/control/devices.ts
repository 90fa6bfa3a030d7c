import {
  type BlockDevice,
  BlockSpecialStore,
  DelayStore,
  EncryptedStore,
  FaultStore,
  FileStore,
} from "../backstore/index.ts"
import { MemoryStore, noMedium, NullStore, ProtectedStore, ReadOnlyStore } from "../backstore/index.ts"
import type { Clock } from "../base/clock.ts"
import type { Random } from "../base/random.ts"
import type { DeviceConfiguration } from "./config/device.ts"
import type { LogicalUnitConfiguration } from "./config/schema.ts"
import { blockDeviceSubject } from "./identity/block-device-name.ts"
import type { IdentitySubject } from "./identity/identity-store.ts"
import { readKeyFile } from "./key-file.ts"

export interface DeviceSurroundings {
  readonly clock: Clock
  readonly random: Random
}

/** Opens a device and what it stands on. Rejects with StoreOpenError or BlockError, and leaves nothing open then. */
export async function openDevice(
  device: DeviceConfiguration,
  around: DeviceSurroundings,
  readOnly = false,
): Promise<BlockDevice> {
  const { clock, random } = around
  switch (device.type) {
    case "file": {
      const { path, sizeBytes, cache } = device
      const sized = sizeBytes === undefined ? {} : { sizeBytes, create: !readOnly }
      return await FileStore.open(path, { cache, readOnly, clock, ...sized })
    }
    case "block":
      return await BlockSpecialStore.open(device.path, { cache: device.cache, readOnly, clock })
    case "memory":
      return new MemoryStore({ sizeBytes: device.sizeBytes })
    case "null":
      return new NullStore({ sizeBytes: device.sizeBytes })
    case "readonly":
      return new ReadOnlyStore(await openDevice(device.on, around, true))
    case "delay":
      return new DelayStore(await openDevice(device.on, around, readOnly), device.delaysMs, around)
    case "encrypted": {
      const key = await readKeyFile(device.keyFile)
      const below = await openDevice(device.on, around, readOnly)
      return await layOn(below, () => EncryptedStore.open(below, key, { random }))
    }
    case "fault":
      return new FaultStore(await openDevice(device.on, around, readOnly), device.rules, { random })
  }
}

/** Opens the device of a LUN, if it begins with one, with protection information where it has it. Rejects as openDevice. */
export async function openUnitDevice(
  { type, device, protection, blockSize }: LogicalUnitConfiguration,
  around: DeviceSurroundings,
): Promise<BlockDevice> {
  if (device === undefined) return noMedium
  const opened = await openDevice(device, around, type === "cdrom")
  if (protection === undefined) return opened
  return await layOn(opened, () =>
    ProtectedStore.open(opened, { type: protection.type, blockBytes: blockSize ?? 512 }),
  )
}

/** Opens a device on another one, which is closed when that fails. */
async function layOn(below: BlockDevice, open: () => Promise<BlockDevice>): Promise<BlockDevice> {
  try {
    return await open()
  } catch (error) {
    await below.close()
    throw error
  }
}

/**
 * Whose identity the unit on a device has: that of its file or disk, whatever is stacked on it; memory has none of
 * its own, and takes that of its place, as an empty drive does.
 */
export async function identitySubject(
  device: DeviceConfiguration | undefined,
  place: string,
): Promise<IdentitySubject> {
  if (device === undefined) return { name: `drive:${place}` }
  switch (device.type) {
    case "file":
      return { file: device.path }
    case "block":
      return await blockDeviceSubject(device.path)
    case "memory":
    case "null":
      return { name: `${device.type}:${place}` }
    default:
      return await identitySubject(device.on, place)
  }
}
