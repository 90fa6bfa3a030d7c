import { readFile, stat } from "node:fs/promises"
import type { IdentitySubject } from "./identity-store.ts"

/**
 * A block special file's lasting name. /dev/sdb may be another disk after the next boot, so what the kernel knows
 * of the disk itself comes first, then the path as it was given (a link below /dev/disk/by-id lasts).
 */
export async function blockDeviceSubject(path: string): Promise<IdentitySubject> {
  const { rdev } = await stat(path)
  const folder = `/sys/dev/block/${major(rdev)}:${minor(rdev)}`
  const backing = await firstLine(`${folder}/loop/backing_file`)
  if (backing) return { file: backing }
  const mapped = await firstLine(`${folder}/dm/uuid`)
  if (mapped) return { name: `dm:${mapped}` }
  const partition = await firstLine(`${folder}/partition`)
  const disk = partition ? `${folder}/..` : folder
  const wwid = (await firstLine(`${disk}/wwid`)) ?? (await firstLine(`${disk}/device/wwid`))
  if (wwid) return { name: `wwid:${wwid}${partition ? `/${partition}` : ""}` }
  return { name: `block:${path}` }
}

// glibc's makedev: 12 and 20 bits of the major and minor number, interleaved.
const major = (rdev: number): number => ((rdev >> 8) & 0xfff) | (Math.floor(rdev / 2 ** 32) & 0xfffff000)
const minor = (rdev: number): number => (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)

async function firstLine(path: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => "")
  return text.split("\n")[0]?.trim() || undefined
}
