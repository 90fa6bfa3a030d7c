import { u16Bytes, u32Bytes } from "./bytes.ts"
import type { CdUnit } from "./cd-unit.ts"
import { Profile } from "./profile.ts"

/** A feature of the drive (MMC-6). */
export interface Feature {
  readonly code: number
  readonly version: number
  /** It is always current. */
  readonly persistent?: true
  current(unit: CdUnit): boolean
  /** What follows ADDITIONAL LENGTH: a multiple of four bytes. */
  contents(unit: CdUnit): number[]
}

const always = (): boolean => true
const readable = ({ profile }: CdUnit): boolean => profile !== Profile.none

/** The profiles the drive has, most wanted first (MMC-6). */
const PROFILES = [Profile.dvdRom, Profile.cdRom]

const profileList: Feature = {
  code: 0x0000,
  version: 0,
  persistent: true,
  current: always,
  contents: (unit) =>
    PROFILES.flatMap((profile) => [...u16Bytes(profile), unit.profile === profile ? 1 : 0, 0]),
}

/** PHYSICAL INTERFACE STANDARD 1: the SCSI family. INQ2: all of INQUIRY's fields; DBE: device busy events. */
const core: Feature = {
  code: 0x0001,
  version: 2,
  persistent: true,
  current: always,
  contents: () => [...u32Bytes(1), 0x03, 0, 0, 0],
}

/** Neither operational change events nor asynchronous ones. */
const morphing: Feature = {
  code: 0x0002,
  version: 1,
  persistent: true,
  current: always,
  contents: () => [0, 0, 0, 0],
}

/** A tray that START STOP UNIT loads and ejects and PREVENT ALLOW MEDIUM REMOVAL locks; no Prevent Jumper. */
const removableMedium: Feature = {
  code: 0x0003,
  version: 2,
  persistent: true,
  current: always,
  contents: () => [0b001_1_1_1_0_1, 0, 0, 0],
}

/** Sectors one by one, which a DVD keeps in ECC blocks of 16; PP: there is an error recovery page. */
const randomReadable: Feature = {
  code: 0x0010,
  version: 0,
  current: readable,
  contents: ({ blockBytes, profile }) => {
    const blocking = profile === Profile.dvdRom ? 16 : 1
    return [...u32Bytes(blockBytes), ...u16Bytes(blocking), 0x01, 0]
  },
}

/** No C2 errors, no CD-Text, no digital audio play. */
const cdRead: Feature = {
  code: 0x001e,
  version: 2,
  current: ({ profile }) => profile === Profile.cdRom,
  contents: () => [0, 0, 0, 0],
}

const dvdRead: Feature = {
  code: 0x001f,
  version: 1,
  current: ({ profile }) => profile === Profile.dvdRom,
  contents: () => [0, 0, 0, 0],
}

const powerManagement: Feature = {
  code: 0x0100,
  version: 0,
  persistent: true,
  current: always,
  contents: () => [],
}

const timeout: Feature = {
  code: 0x0105,
  version: 1,
  persistent: true,
  current: always,
  contents: () => [0, 0, 0, 0],
}

/** SCS: SET CD SPEED is there; there is no write speed to tell of. */
const realTimeStreaming: Feature = {
  code: 0x0107,
  version: 4,
  current: readable,
  contents: () => [0x08, 0, 0, 0],
}

/** Those mandatory for CD-ROM and DVD-ROM (MMC-6), by rising code. */
export const features: readonly Feature[] = [
  profileList,
  core,
  morphing,
  removableMedium,
  randomReadable,
  cdRead,
  dvdRead,
  powerManagement,
  timeout,
  realTimeStreaming,
]
