import { Errno } from "./errno.ts"
import { type CrashFiles, FileNode, type FolderNode, SECTOR_BYTES } from "./files.ts"

/** A step of a file: what a torn write leaves is whole sectors. */
export function writeTo(files: CrashFiles, node: FileNode, at: number, from: Uint8Array): Promise<number> {
  const bytes = Uint8Array.from(from)
  const half = Math.floor(bytes.length / 2 / SECTOR_BYTES) * SECTOR_BYTES || Math.floor(bytes.length / 2)
  return files.step(
    "write",
    () => {
      node.change({ at, bytes })
      return bytes.length
    },
    () => node.change({ at, bytes: bytes.subarray(0, half) }),
  )
}

/** A sync that fails has dropped what it was to make stable, and the next one says that all is well. */
export function sync(files: CrashFiles, node: FileNode | FolderNode): Promise<void> {
  return files.step(
    "sync",
    () => node.sync(),
    undefined,
    () => {
      if (node instanceof FileNode) node.pending = []
    },
  )
}

export function readFrom(node: FileNode, at: number, into: Uint8Array): number {
  const piece = node.content.subarray(at, at + into.length)
  into.set(piece)
  return piece.length
}

export function statusOf(node: FileNode | FolderNode, wide: boolean) {
  const size = node instanceof FileNode ? node.content.length : 0
  const mtime = node instanceof FileNode ? node.mtimeNs : 0
  const number = (value: number) => (wide ? BigInt(value) : value)
  return {
    dev: number(1),
    ino: number(node.ino),
    size: number(size),
    blksize: number(4096),
    blocks: number(Math.ceil(size / 512)),
    birthtimeNs: number(1000 + node.ino),
    mtimeNs: number(mtime),
    isFile: () => node instanceof FileNode,
    isBlockDevice: () => false,
  }
}

/** FileHandle, as far as it is used. */
export class Handle {
  readonly #files: CrashFiles
  readonly #node: FileNode | FolderNode

  constructor(files: CrashFiles, node: FileNode | FolderNode) {
    this.#files = files
    this.#node = node
  }

  get #file(): FileNode {
    if (this.#node instanceof FileNode) return this.#node
    throw new Errno("EISDIR")
  }

  async writeFile(content: string | Uint8Array): Promise<void> {
    await writeTo(this.#files, this.#file, 0, Buffer.from(content as string))
  }

  async write(
    from: Uint8Array,
    start: number,
    length: number,
    at: number,
  ): Promise<{ bytesWritten: number }> {
    const piece = from.subarray(start, start + length)
    return { bytesWritten: await writeTo(this.#files, this.#file, at, piece) }
  }

  async read(into: Uint8Array, start: number, length: number, at: number): Promise<{ bytesRead: number }> {
    await this.#files.alive()
    return { bytesRead: readFrom(this.#file, at, into.subarray(start, start + length)) }
  }

  async stat() {
    await this.#files.alive()
    return statusOf(this.#node, false)
  }

  datasync(): Promise<void> {
    return sync(this.#files, this.#node)
  }

  sync(): Promise<void> {
    return sync(this.#files, this.#node)
  }

  async close(): Promise<void> {
    await this.#files.alive()
  }
}
