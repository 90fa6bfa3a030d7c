/** Profiles (MMC-6): what a drive does as long as such a disc is in it. */
export const Profile = { none: 0x0000, cdRom: 0x0008, dvdRom: 0x0010 } as const
export type Profile = (typeof Profile)[keyof typeof Profile]

/** Sectors of an 80 minute CD, the longest there is by the book; a longer image is a DVD. */
export const CD_BLOCKS_MAX = 80 * 60 * 75
