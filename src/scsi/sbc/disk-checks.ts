import type { BlockDevice } from "../../backstore/block-device.ts"
import { noMedium } from "../../backstore/no-medium.ts"
import { isProtected } from "../../backstore/protection/protected-device.ts"
import { SanletError } from "../../base/errors.ts"
import type { DiskUnit } from "./disk-unit.ts"

/** Whether a new unit can be what its options say. Throws SanletError ERR_DISK_OPTION. */
export function checkOptions(unit: DiskUnit, device: BlockDevice): void {
  const { blockBytes, physicalBlockExponent, rotationRate } = unit
  const wrong = (message: string) => wrongOption(device, message)
  if (blockBytes !== 512 && blockBytes !== 2048 && blockBytes !== 4096)
    throw wrong(`a logical block has 512, 2048 or 4096 bytes, not ${blockBytes}`)
  if (isProtected(device) && device.blockBytes !== blockBytes) {
    throw wrong(
      `it keeps protection information with blocks of ${device.blockBytes} bytes, not ${blockBytes}`,
    )
  }
  if (isProtected(device) && unit.removable)
    throw wrong("a removable disk can't have protection information: another medium may have none")
  if (!Number.isInteger(physicalBlockExponent) || physicalBlockExponent < 0 || physicalBlockExponent > 15) {
    throw wrong(`the physical block exponent is 0 to 15, not ${physicalBlockExponent}`)
  }
  if (rotationRate !== 1 && !(rotationRate >= 1025 && rotationRate <= 65534)) {
    throw wrong(`the rotation rate is 1 (none) or 1025 to 65534, not ${rotationRate}`)
  }
  if (device !== noMedium) checkDevice(unit, device)
  else if (!unit.removable) throw wrong("only a removable disk can do without")
}

/** Whether a device can be the unit's. Throws SanletError ERR_DISK_OPTION. */
export function checkDevice({ blockBytes, thin, removable }: DiskUnit, device: BlockDevice): void {
  const { alignmentBytes, discard, readOnly } = device.features
  if (blockBytes % alignmentBytes !== 0) {
    throw wrongOption(
      device,
      `logical blocks of ${blockBytes} bytes don't fit its alignment of ${alignmentBytes}`,
    )
  }
  if (device.sizeBytes < blockBytes) {
    throw wrongOption(device, `it is shorter than one block of ${blockBytes} bytes`)
  }
  // A medium that can't be written is told so of UNMAP, too.
  if (thin && !discard && !(removable && readOnly)) {
    throw wrongOption(device, "it can't give space back, so it can't be thin")
  }
}

const wrongOption = (device: BlockDevice, message: string): SanletError =>
  new SanletError("ERR_DISK_OPTION", `${device.name}: ${message}`)
