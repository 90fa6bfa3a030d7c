import { constants } from "node:os"
import { getSystemErrorName } from "node:util"
import { BlockError, type BlockErrorCause } from "./block-device.ts"

/** Why a store could not be opened. */
export type StoreOpenProblem =
  | "not-found"
  | "in-use" // another process, or another store of this one, has it
  | "permission"
  | "wrong-kind" // a directory where a file was meant, a file where a block device was
  | "size" // missing, not a whole number, not a multiple of what the storage asks for, or unlike the file's
  | "unsupported" // the machine or the filesystem can't do what the options ask for
  | "key" // its key file can't be used, or it is encrypted under another key
  | "no-space"
  | "io"

const codes: Readonly<Record<StoreOpenProblem, string>> = {
  "not-found": "ERR_STORE_NOT_FOUND",
  "in-use": "ERR_STORE_IN_USE",
  permission: "ERR_STORE_PERMISSION",
  "wrong-kind": "ERR_STORE_WRONG_KIND",
  size: "ERR_STORE_SIZE",
  unsupported: "ERR_STORE_UNSUPPORTED",
  key: "ERR_STORE_KEY",
  "no-space": "ERR_STORE_NO_SPACE",
  io: "ERR_STORE_IO",
}

/** A store that could not be opened; `code` is ERR_STORE_ and the problem. Its `reason` as a BlockError is "io". */
export class StoreOpenError extends BlockError {
  readonly problem: StoreOpenProblem
  readonly path: string
  override readonly code: string

  constructor(problem: StoreOpenProblem, path: string, message: string, options?: ErrorOptions) {
    super("io", `${path}: ${message}`, options)
    this.problem = problem
    this.path = path
    this.code = codes[problem]
  }
}

/** libuv's numbers, and by them Node's names, leave some of the system's out, such as EDQUOT. */
const systemNames = new Map(Object.entries(constants.errno).map(([name, errno]) => [-errno, name]))

/** "ENOSPC" for the negative number a failed system call gave; never throws. */
export function errnoName(result: number): string {
  const name = result < 0 && Number.isInteger(result) ? getSystemErrorName(result) : ""
  return /^E[A-Z0-9]+$/.test(name) ? name : (systemNames.get(result) ?? `errno ${-result}`)
}

const reasons: Readonly<Record<string, BlockErrorCause>> = {
  ENOSPC: "no-space",
  EDQUOT: "no-space",
  EFBIG: "no-space",
  EROFS: "read-only",
}

/** A failed system call as a BlockError. `result` is the negative errno, `what` says what was tried. */
export function blockErrorOf(result: number, name: string, what: string, offsetBytes: number): BlockError {
  const errno = errnoName(result)
  const message = `${name}: ${what} at byte ${offsetBytes} failed: ${errno}`
  return new BlockError(reasons[errno] ?? "io", message, { offsetBytes })
}

const openProblems: Readonly<Record<string, [StoreOpenProblem, string]>> = {
  ENOENT: ["not-found", "no such file"],
  ENOTDIR: ["not-found", "no such file (part of the path is not a directory)"],
  EACCES: ["permission", "permission denied"],
  EPERM: ["permission", "permission denied"],
  EROFS: ["permission", "the filesystem is read-only"],
  EISDIR: ["wrong-kind", "is a directory"],
  EBUSY: ["in-use", "in use by the system or another process"],
  ENOSPC: ["no-space", "no space left"],
  EDQUOT: ["no-space", "quota used up"],
  EFBIG: ["size", "larger than the filesystem allows"],
  EINVAL: ["unsupported", "the filesystem doesn't support the cache mode"],
}

/** A failure while opening; `result` is the negative errno. */
export function openErrorOf(result: number, path: string): StoreOpenError {
  const errno = errnoName(result)
  const [problem, message] = openProblems[errno] ?? ["io", "can't be opened"]
  return new StoreOpenError(problem, path, `${message} (${errno})`)
}
