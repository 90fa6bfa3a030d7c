import type { BlockDevice } from "../../backstore/block-device.ts"
import { invalidFieldInParameterList } from "../sam/field-error.ts"
import type { VpdPage } from "../sam/vpd-page.ts"
import { DiskUnit, type DiskUnitOptions } from "../sbc/disk-unit.ts"
import type { Tray } from "../sbc/tray.ts"
import { spcLogPages, spcVpdPages } from "../spc/index.ts"
import { cdCommands } from "./commands.ts"
import { MediaEvents } from "./media-events.ts"
import { cdModePages } from "./mode-pages.ts"
import { CD_BLOCKS_MAX, Profile } from "./profile.ts"

/** What of a disk can be chosen for a CD-ROM drive, too. */
export type CdUnitOptions = Pick<DiskUnitOptions, "identity" | "random" | "clock" | "reservationStore">

const SECTOR_BYTES = 2048

/**
 * A CD/DVD-ROM drive (MMC-6) and the disc in it: an image of 2048-byte sectors, one session of one data track. Below its
 * commands it is a disk of that block length that is removable and can only be read; an image as long as a CD gets
 * is a CD-ROM, a longer one a DVD-ROM. Throws SanletError ERR_DISK_OPTION.
 */
export class CdUnit extends DiskUnit {
  override readonly peripheralDeviceType = 0x05
  override readonly commands = cdCommands
  override readonly vpdPages: readonly VpdPage[] = spcVpdPages
  override readonly modePages = cdModePages
  override readonly logPages = spcLogPages
  override readonly thirdPartyCopy = false
  /** SAM-5, iSCSI, SPC-4, MMC-6. */
  override readonly versionDescriptors = [0x00a0, 0x0960, 0x0460, 0x04e0]
  readonly mediaEvents = new MediaEvents()

  /** Without a device the drive is empty. */
  constructor(disc: BlockDevice | undefined, options: CdUnitOptions = {}) {
    super(disc, {
      ...options,
      identity: { product: "CD/DVD-ROM", ...options.identity },
      logicalBlockBytes: SECTOR_BYTES,
      removable: true,
      readOnly: true,
      thin: false,
    })
    this.drive.onEvent((event) => this.mediaEvents.note(event, this.nexuses))
  }

  /** Its tray: there always is one. */
  get drive(): Tray {
    return this.tray!
  }

  /** Of the disc that is loaded. */
  get profile(): Profile {
    if (!this.drive.loaded) return Profile.none
    return this.blocks > CD_BLOCKS_MAX ? Profile.dvdRom : Profile.cdRom
  }

  /** Reserved (MMC-6). */
  override deviceSpecificParameter(): number {
    return 0
  }

  /** There is none (MMC-6). */
  override modeBlockDescriptor(): Uint8Array {
    return new Uint8Array(0)
  }

  /** Old initiators set the block length by it: that of a sector, for all blocks, is taken. */
  override selectBlockDescriptor(descriptor: Uint8Array, long: boolean): void {
    const lengthAt = long ? 12 : 5
    const length = descriptor.subarray(lengthAt).reduce((value, byte) => value * 256 + byte, 0)
    if (length !== SECTOR_BYTES) {
      throw invalidFieldInParameterList(`a logical block has ${SECTOR_BYTES} bytes`, lengthAt)
    }
  }
}
