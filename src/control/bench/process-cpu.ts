import { readdirSync, readFileSync, readlinkSync } from "node:fs"

/** CPU time used so far by whoever is measured, user and system, all threads, in ms. */
export type CpuMeter = () => number

/** A process of this machine. */
export interface LocalProcess {
  readonly pid: number
  /** As the system calls it, for people. */
  readonly name: string
}

/** USER_HZ, the unit of times in /proc: 100 on every architecture Node runs on (proc(5), sysconf(_SC_CLK_TCK)). */
const TICKS_PER_SECOND = 100

/** This process. */
export const ownCpu: CpuMeter = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Another process of this machine; undefined: there is none of that number, or this system has no /proc. */
export function cpuOf(pid: number, proc = "/proc"): CpuMeter | undefined {
  const meter = () => parseStat(readFileSync(`${proc}/${pid}/stat`, "latin1")).cpuMs
  return attempt(meter) === undefined ? undefined : meter
}

/** Its name; undefined: there is none of that number. */
export function processOf(pid: number, proc = "/proc"): LocalProcess | undefined {
  const stat = attempt(() => parseStat(readFileSync(`${proc}/${pid}/stat`, "latin1")))
  return stat && { pid, name: stat.name }
}

/** The second field of /proc/PID/stat is a name in parentheses that may hold anything, parentheses too: proc(5). */
function parseStat(text: string): { name: string; cpuMs: number } {
  const end = text.lastIndexOf(")")
  // What follows begins with field 3; utime and stime are fields 14 and 15.
  const fields = text.slice(end + 2).split(" ")
  const ticks = Number(fields[11]) + Number(fields[12])
  return { name: text.slice(text.indexOf("(") + 1, end), cpuMs: (ticks * 1000) / TICKS_PER_SECOND }
}

interface TcpRow {
  readonly local: string
  readonly remote: string
  readonly inode: string
}

/**
 * Who has the other end of this process's TCP connections to `port`, when that is a process of this machine and of a
 * user whose open files may be read. iWARP connections are TCP connections, too. Undefined: nobody is found; also when
 * both ends are this process, since its CPU time can't be told apart.
 */
export function peerProcess(port: number, proc = "/proc"): LocalProcess | undefined {
  const rows = tcpRows(proc)
  const own = socketsOf("self", proc)
  const wanted = new Set(
    rows
      .filter(({ inode, remote }) => own.has(inode) && remote.endsWith(`:${hexPort(port)}`))
      .map(({ local, remote }) => `${remote} ${local}`),
  )
  const inodes = rows
    .filter(({ local, remote, inode }) => wanted.has(`${local} ${remote}`) && !own.has(inode))
    .map(({ inode }) => inode)
  if (inodes.length === 0) return undefined
  for (const entry of attempt(() => readdirSync(proc)) ?? []) {
    if (!/^\d+$/.test(entry)) continue
    const sockets = socketsOf(entry, proc)
    if (inodes.some((inode) => sockets.has(inode))) return processOf(Number(entry), proc)
  }
  return undefined
}

const hexPort = (port: number): string => port.toString(16).toUpperCase().padStart(4, "0")

/** What an IPv4 address looks like in /proc/net/tcp6: ::ffff:0:0/96, each word in the machine's byte order. */
const MAPPED = "0000000000000000FFFF0000"

/** The TCP sockets of this network namespace, addresses as the kernel writes them, mapped IPv4 ones as IPv4. */
function tcpRows(proc: string): TcpRow[] {
  return ["tcp", "tcp6"].flatMap((table) => {
    const text = attempt(() => readFileSync(`${proc}/self/net/${table}`, "latin1")) ?? ""
    return text
      .split("\n")
      .slice(1)
      .flatMap((line) => {
        const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/)
        if (!local || !remote || !inode || inode === "0") return []
        const plain = (address: string) => (address.startsWith(MAPPED) ? address.slice(24) : address)
        return [{ local: plain(local), remote: plain(remote), inode }]
      })
  })
}

/** The inodes of a process's sockets; none when they can't be read. */
function socketsOf(pid: string, proc: string): Set<string> {
  const inodes = new Set<string>()
  for (const fd of attempt(() => readdirSync(`${proc}/${pid}/fd`)) ?? []) {
    const inode = /^socket:\[(\d+)\]$/.exec(attempt(() => readlinkSync(`${proc}/${pid}/fd/${fd}`)) ?? "")?.[1]
    if (inode !== undefined) inodes.add(inode)
  }
  return inodes
}

/** Processes and their files come and go while one looks, and many may not be looked at. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
