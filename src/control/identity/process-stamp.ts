import { readFileSync } from "node:fs"

/**
 * A process of this machine, told from a later one with the same id: "boot id/process id/start time". Where there is
 * no /proc only the id is known.
 */
export const ownStamp = (): string => stampOf(process.pid) ?? `/${process.pid}/`

export function isAlive(stamp: string): boolean {
  const pid = Number(stamp.split("/")[1])
  if (!Number.isInteger(pid) || pid <= 0) return false
  const now = stampOf(pid)
  if (now !== undefined) return now === stamp
  if (hasProc()) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

export const pidOf = (stamp: string): number => Number(stamp.split("/")[1])

function stampOf(pid: number): string | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The command's name is in parentheses and may hold anything; the start time is the 20th field behind it.
    const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
    return `${boot}/${pid}/${started}`
  } catch {
    return undefined
  }
}

function hasProc(): boolean {
  return stampOf(process.pid) !== undefined
}
