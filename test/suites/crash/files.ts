/** A file system in memory that forgets, when the power fails, what nobody has made stable. */
import { Errno } from "./errno.ts"
import type { SeededRandom } from "../../../src/base/random.ts"

/** The unit a disk writes as a whole. */
export const SECTOR_BYTES = 512

/** What a loss of power may leave of what wasn't made stable. */
export type Remains = "nothing" | "all" | SeededRandom

interface Change {
  readonly at: number
  /** Undefined: the file gets the length `at`. */
  readonly bytes: Uint8Array | undefined
}

interface Naming {
  readonly name: string
  readonly node: Node | undefined
}

let lastInode = 0
let lastTimeNs = 0
let lastBoot = 0

export class FileNode {
  readonly kind = "file"
  readonly ino: number
  mtimeNs = 0
  content = new Uint8Array(0)
  stable = new Uint8Array(0)
  /** Since it was last made stable. A failed sync empties it: the system has dropped the pages, and says so once (Linux). */
  pending: Change[] = []

  constructor(ino = ++lastInode) {
    this.ino = ino
  }

  change(change: Change): void {
    this.content = applied(this.content, change)
    this.pending.push(change)
    this.mtimeNs = ++lastTimeNs
  }

  sync(): void {
    for (const change of this.pending) this.stable = applied(this.stable, change)
    this.pending = []
  }

  /** As it is, for another process. */
  copy(): FileNode {
    const copy = new FileNode(this.ino)
    Object.assign(copy, {
      mtimeNs: this.mtimeNs,
      content: this.content,
      stable: this.stable,
      pending: [...this.pending],
    })
    return copy
  }

  afterCrash(remains: Remains): FileNode {
    const after = new FileNode(this.ino)
    after.mtimeNs = this.mtimeNs
    const pieces = remains === "nothing" ? [] : this.pending.flatMap((change) => survivors(change, remains))
    after.stable = pieces.reduce(applied, this.stable)
    if (remains === "all") after.stable = this.content.slice()
    after.content = after.stable.slice()
    return after
  }
}

/** A symbolic link, whose target is stable with its name. */
export interface LinkNode {
  readonly kind: "link"
  readonly target: string
}

export class FolderNode {
  readonly kind = "folder"
  readonly ino: number
  readonly entries = new Map<string, Node>()
  readonly #stable = new Map<string, Node>()
  /** Renames are several namings at once. */
  #pending: (readonly Naming[])[] = []

  constructor(ino = ++lastInode) {
    this.ino = ino
  }

  change(...namings: readonly Naming[]): void {
    name(this.entries, namings)
    this.#pending.push(namings)
  }

  sync(): void {
    for (const namings of this.#pending) name(this.#stable, namings)
    this.#pending = []
  }

  /** As it is, with all below. `copies`: what was copied already. */
  copy(copies = new Map<Node, Node>()): FolderNode {
    const copy = new FolderNode(this.ino)
    copies.set(this, copy)
    const copied = (node: Node): Node => {
      const known = copies.get(node)
      if (known !== undefined || node.kind === "link") return known ?? node
      const made = node.kind === "file" ? node.copy() : node.copy(copies)
      copies.set(node, made)
      return made
    }
    for (const [entry, node] of this.entries) copy.entries.set(entry, copied(node))
    for (const [entry, node] of this.#stable) copy.#stable.set(entry, copied(node))
    copy.#pending = this.#pending.map((namings) =>
      namings.map(({ name, node }) => ({ name, node: node && copied(node) })),
    )
    return copy
  }

  /** Names become stable in the order in which they were given, as a journal has it. */
  afterCrash(remains: Remains): FolderNode {
    const after = new FolderNode(this.ino)
    const all = this.#pending
    const kept = remains === "nothing" ? 0 : remains === "all" ? all.length : remains.below(all.length + 1)
    const entries = new Map(this.#stable)
    for (const namings of all.slice(0, kept)) name(entries, namings)
    for (const [entry, node] of entries) {
      after.change({ name: entry, node: node.kind === "link" ? node : node.afterCrash(remains) })
    }
    after.sync()
    return after
  }

  syncAll(): void {
    this.sync()
    for (const node of this.entries.values()) {
      if (node.kind === "folder") node.syncAll()
      else if (node.kind === "file") node.sync()
    }
  }
}

export type Node = FileNode | FolderNode | LinkNode

function name(entries: Map<string, Node>, namings: readonly Naming[]): void {
  for (const { name, node } of namings) {
    if (node === undefined) entries.delete(name)
    else entries.set(name, node)
  }
}

function applied(content: Uint8Array, { at, bytes }: Change): Uint8Array<ArrayBuffer> {
  const length = bytes === undefined ? at : Math.max(content.length, at + bytes.length)
  const changed = new Uint8Array(length)
  changed.set(content.subarray(0, length))
  if (bytes !== undefined) changed.set(bytes, at)
  return changed
}

/** Of a write any sectors, or only the length. */
function survivors(change: Change, remains: Remains): Change[] {
  if (remains === "all" || remains === "nothing") return remains === "all" ? [change] : []
  const { at, bytes } = change
  const fate = remains.below(4)
  if (bytes === undefined || fate === 0) return fate === 0 ? [] : [change]
  if (fate === 1) return [change]
  const pieces: Change[] = []
  for (let from = at; from < at + bytes.length; ) {
    const to = Math.min(at + bytes.length, (Math.floor(from / SECTOR_BYTES) + 1) * SECTOR_BYTES)
    if (remains.below(2) === 1) pieces.push({ at: from, bytes: bytes.subarray(from - at, to - at) })
    from = to
  }
  return pieces
}

/** How a step goes wrong: the power fails before it; in the midst of a write; or it fails with EIO. */
export type Trouble = "crash" | "torn" | "error"

/** What a step does. "sync" and "rename" are those whose failure nobody may swallow. */
export type StepKind = "write" | "sync" | "rename" | "name"

/** The file system: a tree, and steps that are counted, at one of which something goes wrong. */
export class CrashFiles {
  readonly root: FolderNode
  /** Of this start: what /proc tells of the machine. */
  readonly bootId = ++lastBoot
  steps = 0
  /** The step at which something went wrong. */
  struck: StepKind | undefined
  #at = 0
  #trouble: Trouble = "crash"
  #down = false
  #tell: () => void = () => {}
  /** Resolves when the power has failed: nothing that was asked for since ends. */
  readonly down = new Promise<void>((resolve) => {
    this.#tell = resolve
  })

  constructor(root = new FolderNode()) {
    this.root = root
  }

  /** From now on steps are counted, beginning with 1; at number `at` there is trouble. */
  arm(at: number, trouble: Trouble): void {
    this.steps = 0
    this.#at = at
    this.#trouble = trouble
  }

  /** Before anything is done: never resolves once the power has failed. */
  async alive(): Promise<void> {
    if (this.#down) await new Promise<never>(() => {})
  }

  /** `partly` is what a torn write does. Throws EIO. */
  async step<T>(kind: StepKind, work: () => T, partly?: () => void, failing?: () => void): Promise<T> {
    await this.alive()
    if (++this.steps !== this.#at) return work()
    this.struck = kind
    if (this.#trouble === "error") {
      failing?.()
      throw new Errno("EIO")
    }
    if (this.#trouble === "torn") partly?.()
    this.#down = true
    this.#tell()
    return new Promise<never>(() => {})
  }

  /** All is stable. */
  settle(): void {
    this.root.syncAll()
  }

  /** What the next process finds when this one is killed: all it did, stable or not. */
  afterKill(): CrashFiles {
    return new CrashFiles(this.root.copy())
  }

  /** What the next start finds when the power fails. */
  afterCrash(remains: Remains): CrashFiles {
    return new CrashFiles(this.root.afterCrash(remains))
  }
}
