import fs from "node:fs"
import { constants } from "node:os"
import { type Libc, loadLibc } from "./libc.ts"

/**
 * What the stores on files ask of the operating system: Node's calls, and those of the C library where it can be
 * had. Every call returns what the system call does or the negative errno, and never throws or rejects; tests
 * put failures here.
 */
export interface SystemCalls {
  /** On this thread. Without the C library, stores read and write here as long as that is quick. */
  readSync(fd: number, into: Uint8Array, offsetBytes: number): number
  writeSync(fd: number, from: Uint8Array, offsetBytes: number): number
  /** On the thread pool, as are the next ones. */
  read(fd: number, into: Uint8Array, offsetBytes: number): Promise<number>
  write(fd: number, from: Uint8Array, offsetBytes: number): Promise<number>
  fdatasync(fd: number): Promise<number>
  fsync(fd: number): Promise<number>
  ftruncate(fd: number, sizeBytes: number): Promise<number>
  open(path: string, flags: number, mode?: number): Promise<number>
  close(fd: number): Promise<number>
  /** Absent: no hole punching, no extents, no lock, no direct I/O, no look into the page cache. */
  readonly libc: Libc | undefined
}

const EIO = -constants.errno.EIO

type Settle = (error: NodeJS.ErrnoException | null, result?: number) => void

/** A callback that resolves with the result, or the negative errno libuv gives (EIO if it gives none). */
const settle =
  (resolve: (result: number) => void): Settle =>
  (error, result) =>
    resolve(error ? (error.errno ?? EIO) : (result ?? 0))

const nodeCalls: Omit<SystemCalls, "libc"> = {
  readSync(fd, into, offsetBytes) {
    try {
      return fs.readSync(fd, into, 0, into.byteLength, offsetBytes)
    } catch (error) {
      return (error as NodeJS.ErrnoException).errno ?? EIO
    }
  },
  writeSync(fd, from, offsetBytes) {
    try {
      return fs.writeSync(fd, from, 0, from.byteLength, offsetBytes)
    } catch (error) {
      return (error as NodeJS.ErrnoException).errno ?? EIO
    }
  },
  read: (fd, into, offsetBytes) =>
    new Promise((resolve) => fs.read(fd, into, 0, into.byteLength, offsetBytes, settle(resolve))),
  write: (fd, from, offsetBytes) =>
    new Promise((resolve) => fs.write(fd, from, 0, from.byteLength, offsetBytes, settle(resolve))),
  fdatasync: (fd) => new Promise((resolve) => fs.fdatasync(fd, settle(resolve))),
  fsync: (fd) => new Promise((resolve) => fs.fsync(fd, settle(resolve))),
  ftruncate: (fd, sizeBytes) => new Promise((resolve) => fs.ftruncate(fd, sizeBytes, settle(resolve))),
  open: (path, flags, mode) => new Promise((resolve) => fs.open(path, flags, mode, settle(resolve))),
  close: (fd) => new Promise((resolve) => fs.close(fd, settle(resolve))),
}

let loading: Promise<SystemCalls> | undefined

/** The machine's own calls; the C library is loaded when they are first asked for. */
export function systemCalls(): Promise<SystemCalls> {
  loading ??= loadLibc().then((libc) => ({ ...nodeCalls, libc }))
  return loading
}
