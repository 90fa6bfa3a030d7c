/** Sectors in front of LBA 0: two seconds of pre-gap (MMC-6). */
const PREGAP = 150
const FRAMES_PER_SECOND = 75
const FRAMES_MAX = 256 * 60 * FRAMES_PER_SECOND - 1

/** The MSF address of a sector as four bytes (0, minute, second, frame); the last there is where a DVD's is beyond. */
export function msfOf(lba: number): [number, number, number, number] {
  const frames = Math.min(lba + PREGAP, FRAMES_MAX)
  const seconds = Math.floor(frames / FRAMES_PER_SECOND)
  return [0, Math.floor(seconds / 60), seconds % 60, frames % FRAMES_PER_SECOND]
}

/** The sector at three bytes of MSF; negative in the pre-gap, undefined where the bytes are no address. */
export function lbaOf(minute: number, second: number, frame: number): number | undefined {
  if (second >= 60 || frame >= FRAMES_PER_SECOND) return undefined
  return (minute * 60 + second) * FRAMES_PER_SECOND + frame - PREGAP
}
