/** Puts CrashFiles in the place of the system's, for paths below ROOT; the rest of the process goes on with its own. */
import fs, { constants } from "node:fs"
import fsp from "node:fs/promises"
import { constants as os } from "node:os"
import { syncBuiltinESMExports } from "node:module"
import type { Libc } from "../../../src/backstore/libc.ts"
import type { SystemCalls } from "../../../src/backstore/system-calls.ts"
import { Errno } from "./errno.ts"
import { CrashFiles, FileNode } from "./files.ts"
import { readFrom, statusOf, sync, writeTo } from "./handle.ts"
import { nodeFor, pathCalls, ROOT } from "./paths.ts"

let current = new CrashFiles()
let installed = false

/** What paths below ROOT lead to from now on: another start of the machine. */
export function useFiles(files: CrashFiles): void {
  if (!installed) install()
  current = files
}

const isOurs = (path: unknown): boolean =>
  typeof path === "string" && (path === ROOT || path.startsWith(`${ROOT}/`))

const BOOT_ID = "/proc/sys/kernel/random/boot_id"
const FIRST_FD = 1_000_000
/** By descriptor. They are never used again. */
const open: { node: FileNode; files: CrashFiles; stable: boolean }[] = []

const opened = (fd: number) => open[fd - FIRST_FD]

function install(): void {
  installed = true
  const promises = fsp as unknown as Record<string, (...args: unknown[]) => unknown>
  for (const name of Object.keys(pathCalls(current))) {
    const real = promises[name]!
    promises[name] = (...args) => {
      if (!isOurs(args[name === "symlink" ? 1 : 0])) return real(...args)
      const calls = pathCalls(current) as unknown as Record<string, (...args: unknown[]) => unknown>
      return calls[name]!(...args)
    }
  }
  const whole = fs as unknown as Record<string, (...args: unknown[]) => unknown>
  const { fstat, readFileSync } = whole
  whole["fstat"] = (fd, callback, ...rest) => {
    const found = opened(fd as number)
    if (found === undefined) return fstat!(fd, callback, ...rest)
    queueMicrotask(() =>
      (callback as (error: null, status: unknown) => void)(null, statusOf(found.node, false)),
    )
  }
  // After a crash the machine starts anew: no process of before is alive.
  whole["readFileSync"] = (path, ...rest) =>
    path === BOOT_ID ? `boot ${current.bootId}` : readFileSync!(path, ...rest)
  syncBuiltinESMExports()
}

/** What system calls return. */
async function result(work: () => Promise<number>): Promise<number> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Errno) return error.errno
    throw error
  }
}

/** Extents, and nothing else: where something was written there is data. */
const libc: Libc = {
  readNowait: () => -os.errno.EAGAIN,
  fallocate: async () => -os.errno.EOPNOTSUPP,
  lseek: async (fd, at, whence) => {
    const { content } = opened(fd)!.node
    const isHole = content.every((byte) => byte === 0)
    const SEEK_DATA = 3
    if (whence === SEEK_DATA) return isHole ? -os.errno.ENXIO : at
    return isHole ? at : content.length
  },
  flock: async () => 0,
  directAlignment: () => undefined,
  addressOf: () => undefined,
}

/** The system calls of a FileStore below ROOT. */
export const crashCalls: SystemCalls = {
  libc,
  readSync: (fd, into, at) => readFrom(opened(fd)!.node, at, into),
  // Written through the thread pool, which is where a step can stop.
  writeSync: () => 0,
  read: async (fd, into, at) => {
    const { node, files } = opened(fd)!
    await files.alive()
    return readFrom(node, at, into)
  },
  write: (fd, from, at) =>
    result(async () => {
      const { node, files, stable } = opened(fd)!
      const before = node.pending.length
      const written = await writeTo(files, node, at, from)
      if (!stable) return written
      // O_DSYNC: what was written becomes stable, what others have written stays as it is.
      const others = node.pending.slice(0, before)
      await files.step("sync", () => {
        node.pending = node.pending.slice(before)
        node.sync()
        node.pending = others
      })
      return written
    }),
  fdatasync: (fd) => result(() => sync(opened(fd)!.files, opened(fd)!.node).then(() => 0)),
  fsync: (fd) => result(() => syncFd(fd).then(() => 0)),
  ftruncate: (fd, sizeBytes) =>
    result(() => {
      const { node, files } = opened(fd)!
      return files.step("write", () => {
        node.change({ at: Math.min(node.content.length, sizeBytes), bytes: undefined })
        if (node.content.length < sizeBytes) node.change({ at: sizeBytes - 1, bytes: new Uint8Array(1) })
        return 0
      })
    }),
  open: (path, flags) =>
    result(async () => {
      const again = /^\/proc\/self\/fd\/(\d+)$/.exec(path)
      const stable = (flags & constants.O_DSYNC) !== 0
      if (again) return descriptor(opened(Number(again[1]))!.node, stable)
      const node = await nodeFor(current, path, {
        write: (flags & constants.O_RDWR) !== 0,
        create: (flags & constants.O_CREAT) !== 0,
        exclusive: (flags & constants.O_EXCL) !== 0,
        truncate: false,
      })
      if (node instanceof FileNode) return descriptor(node, stable)
      folders.push({ node, files: current })
      return FIRST_FD * 2 + folders.length - 1
    }),
  close: async () => 0,
}

const folders: { node: Parameters<typeof sync>[1]; files: CrashFiles }[] = []

function syncFd(fd: number): Promise<void> {
  const { node, files } = folders[fd - 2 * FIRST_FD] ?? opened(fd)!
  return sync(files, node)
}

function descriptor(node: FileNode, stable: boolean): number {
  open.push({ node, files: current, stable })
  return FIRST_FD + open.length - 1
}
