/** node:fs/promises over CrashFiles: what src/control asks of it, by path. */
import { posix } from "node:path"
import { Errno } from "./errno.ts"
import { type CrashFiles, FileNode, FolderNode, type LinkNode, type Node } from "./files.ts"
import { Handle, statusOf } from "./handle.ts"

/** Folders above it are there always, and stable. */
export const ROOT = "/crash"

interface Place {
  readonly folder: FolderNode
  readonly name: string
  readonly node: Node | undefined
}

const partsOf = (path: string): string[] => {
  const below = posix.relative(ROOT, path)
  return below === "" ? [] : below.split("/")
}

function folderAt(files: CrashFiles, path: string): FolderNode {
  let folder = files.root
  for (const part of partsOf(path)) {
    const next = folder.entries.get(part)
    if (next === undefined) throw new Errno("ENOENT")
    if (next.kind !== "folder") throw new Errno("ENOTDIR")
    folder = next
  }
  return folder
}

function placeOf(files: CrashFiles, path: string): Place {
  const folder = folderAt(files, posix.dirname(path))
  const name = posix.basename(path)
  return { folder, name, node: folder.entries.get(name) }
}

function fileAt(files: CrashFiles, path: string): FileNode {
  const { node } = placeOf(files, path)
  if (node === undefined || node.kind === "link") throw new Errno("ENOENT")
  if (node.kind === "folder") throw new Errno("EISDIR")
  return node
}

/** Opens or makes a file; both may be a step. */
export async function nodeFor(
  files: CrashFiles,
  path: string,
  how: OpenFlags,
): Promise<FileNode | FolderNode> {
  await files.alive()
  if (path === ROOT) return files.root
  const { folder, name, node } = placeOf(files, path)
  if (node !== undefined && how.exclusive) throw new Errno("EEXIST")
  if (node?.kind === "folder") {
    if (how.write) throw new Errno("EISDIR")
    return node
  }
  if (node === undefined || node.kind === "link") {
    if (!how.create) throw new Errno("ENOENT")
    const made = new FileNode()
    await files.step("name", () => folder.change({ name, node: made }))
    return made
  }
  if (how.truncate && node.content.length > 0)
    await files.step("write", () => node.change({ at: 0, bytes: undefined }))
  return node
}

export interface OpenFlags {
  readonly write: boolean
  readonly create: boolean
  readonly exclusive: boolean
  readonly truncate: boolean
}

const flagsOf = (flags: string): OpenFlags => ({
  write: flags !== "r",
  create: flags.startsWith("w"),
  exclusive: flags.includes("x"),
  truncate: flags.startsWith("w"),
})

/** The calls, by the names node:fs/promises has for them. */
export const pathCalls = (files: CrashFiles) => ({
  async open(path: string, flags = "r"): Promise<Handle> {
    return new Handle(files, await nodeFor(files, path, flagsOf(flags)))
  },

  async readFile(path: string, encoding?: "utf8"): Promise<string | Buffer> {
    await files.alive()
    const content = Buffer.from(fileAt(files, path).content)
    return encoding === undefined ? content : content.toString(encoding)
  },

  async readdir(path: string): Promise<string[]> {
    await files.alive()
    return [...folderAt(files, path).entries.keys()]
  },

  async stat(path: string, options?: { bigint?: boolean }) {
    await files.alive()
    const node = path === ROOT ? files.root : placeOf(files, path).node
    if (node === undefined || node.kind === "link") throw new Errno("ENOENT")
    return statusOf(node, options?.bigint === true)
  },

  async realpath(path: string): Promise<string> {
    await files.alive()
    if (placeOf(files, path).node === undefined) throw new Errno("ENOENT")
    return path
  },

  async readlink(path: string): Promise<string> {
    await files.alive()
    const { node } = placeOf(files, path)
    if (node === undefined) throw new Errno("ENOENT")
    if (node.kind !== "link") throw new Errno("EINVAL")
    return node.target
  },

  async symlink(target: string, path: string): Promise<void> {
    await files.alive()
    const { folder, name, node } = placeOf(files, path)
    if (node !== undefined) throw new Errno("EEXIST")
    const link: LinkNode = { kind: "link", target }
    await files.step("name", () => folder.change({ name, node: link }))
  },

  async unlink(path: string): Promise<void> {
    await files.alive()
    const { folder, name, node } = placeOf(files, path)
    if (node === undefined) throw new Errno("ENOENT")
    await files.step("name", () => folder.change({ name, node: undefined }))
  },

  async rename(from: string, to: string): Promise<void> {
    await files.alive()
    const source = placeOf(files, from)
    const target = placeOf(files, to)
    if (source.node === undefined) throw new Errno("ENOENT")
    if (target.node?.kind === "folder" && target.node.entries.size > 0) throw new Errno("ENOTEMPTY")
    if (source.folder !== target.folder) throw new Errno("EXDEV")
    const moved = { name: target.name, node: source.node }
    await files.step("rename", () => source.folder.change(moved, { name: source.name, node: undefined }))
  },

  async mkdir(path: string, options: { recursive?: boolean } = {}): Promise<string | undefined> {
    await files.alive()
    let first: string | undefined
    let at = ROOT
    let folder = files.root
    const parts = partsOf(path)
    for (const [i, part] of parts.entries()) {
      at = posix.join(at, part)
      let next = folder.entries.get(part)
      if (next === undefined) {
        if (!options.recursive && i < parts.length - 1) throw new Errno("ENOENT")
        const made = new FolderNode()
        const above = folder
        await files.step("name", () => above.change({ name: part, node: made }))
        first ??= at
        next = made
      } else if (!options.recursive && i === parts.length - 1) throw new Errno("EEXIST")
      if (next.kind !== "folder") throw new Errno("ENOTDIR")
      folder = next
    }
    return first
  },

  async rm(path: string, options: { recursive?: boolean; force?: boolean } = {}): Promise<void> {
    await files.alive()
    const { folder, name, node } = placeOf(files, path)
    if (node === undefined) {
      if (options.force) return
      throw new Errno("ENOENT")
    }
    if (node.kind === "folder") {
      if (!options.recursive) throw new Errno("EISDIR")
      for (const entry of [...node.entries.keys()]) await this.rm(posix.join(path, entry), options)
    }
    await files.step("name", () => folder.change({ name, node: undefined }))
  },
})
