import { BlockError } from "./block-device.ts"
import { blockErrorOf } from "./errors.ts"
import type { SystemCalls } from "./system-calls.ts"

/** An open file as the I/O paths see it. */
export interface OpenFile {
  readonly name: string
  readonly system: SystemCalls
  readonly fd: number
  /** The same file opened so that a write is stable when it ends (O_DSYNC); undefined: write, then flush. */
  readonly stableFd: number | undefined
}

/** How bytes get in and out of a file: through the page cache or past it. */
export interface FileIo {
  read(offsetBytes: number, into: Uint8Array): void | Promise<void>
  /** `fd` is the file's fd or its stableFd. */
  write(offsetBytes: number, from: Uint8Array, fd: number): void | Promise<void>
  /** The same, never on the event loop. */
  writeLater(offsetBytes: number, from: Uint8Array, fd: number): Promise<void>
  /** Runs `change`, which alters [offset, offset + length) by other means, when no write can undo it. */
  during(offsetBytes: number, lengthBytes: number, change: () => Promise<void>): Promise<void>
}

/** A read that met the end of the file within the device: somebody shrank it. */
export function shortRead(name: string, offsetBytes: number): BlockError {
  const message = `${name}: the file ends at byte ${offsetBytes}, within the device`
  return new BlockError("io", message, { offsetBytes })
}

/** Reads until `into` is full, on the thread pool; throws BlockError "io" at the end of the file. */
export async function readFully(file: OpenFile, into: Uint8Array, offsetBytes: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const rest = done === 0 ? into : into.subarray(done)
    const result = await file.system.read(file.fd, rest, offsetBytes + done)
    if (result < 0) throw blockErrorOf(result, file.name, "read", offsetBytes + done)
    if (result === 0) throw shortRead(file.name, offsetBytes + done)
    done += result
  }
}

/**
 * Writes all of `from`, on the thread pool: a short write is continued, and the failure that ends it thrown. A
 * stable write that fails on its way to the medium says "write-lost", because the system may have dropped others'
 * pages with it and doesn't tell.
 */
export async function writeFully(
  file: OpenFile,
  fd: number,
  from: Uint8Array,
  offsetBytes: number,
): Promise<void> {
  for (let done = 0; done < from.length; ) {
    const rest = done === 0 ? from : from.subarray(done)
    const result = await file.system.write(fd, rest, offsetBytes + done)
    if (result < 0) throw writeError(file, fd, result, offsetBytes + done)
    if (result === 0) {
      const message = `${file.name}: the system writes nothing at byte ${offsetBytes + done}`
      throw new BlockError("io", message, { offsetBytes: offsetBytes + done })
    }
    done += result
  }
}

function writeError(file: OpenFile, fd: number, result: number, offsetBytes: number): BlockError {
  const error = blockErrorOf(result, file.name, "write", offsetBytes)
  if (fd !== file.stableFd || error.reason !== "io") return error
  return new BlockError("write-lost", error.message, { offsetBytes, cause: error })
}
