import type { BlockDevice } from "../backstore/index.ts"
import { CdUnit } from "../scsi/mmc/cd-unit.ts"
import { DiskUnit, type DiskUnitOptions } from "../scsi/sbc/disk-unit.ts"
import type { LogicalUnitConfiguration } from "./config/schema.ts"
import type { Identity } from "./identity/identity-store.ts"
import type { UnitState } from "./identity/unit-state.ts"

/** What a unit gets besides what its configuration says. */
export type UnitSurroundings = Required<
  Pick<DiskUnitOptions, "reservationStore" | "clock" | "random" | "log">
> & {
  readonly identity: Identity
  readonly state: Pick<UnitState, "records" | "undoLog">
}

/** The logical unit a configuration describes, over the device it names; undefined: it is without a medium. */
export function logicalUnitOf(
  configuration: LogicalUnitConfiguration,
  medium: BlockDevice | undefined,
  { identity: { serial, naa }, state: { records, undoLog }, ...around }: UnitSurroundings,
): DiskUnit {
  const { type, vendor, product, revision, blockSize, physicalBlockSize, removable } = configuration
  const { thin, writeSameToEnd } = configuration
  const options: DiskUnitOptions = {
    ...around,
    identity: {
      serial,
      naa,
      ...(vendor !== undefined && { vendor }),
      ...(product !== undefined && { product }),
      ...(revision !== undefined && { revision }),
    },
  }
  if (type === "cdrom") return new CdUnit(medium, options)
  return new DiskUnit(medium, {
    ...options,
    records,
    ...(undoLog && { undoLog }),
    ...(removable !== undefined && { removable }),
    ...(blockSize !== undefined && { logicalBlockBytes: blockSize }),
    ...(physicalBlockSize !== undefined && {
      physicalBlockExponent: Math.log2(physicalBlockSize / (blockSize ?? 512)),
    }),
    ...(thin !== undefined && { thin }),
    ...(writeSameToEnd !== undefined && { writeSameToEnd }),
  })
}
