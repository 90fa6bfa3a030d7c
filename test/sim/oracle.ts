/**
 * What a disk may hold, block by block, whatever was lost on the way: the judge of the simulation.
 *
 * A write that has begun may be what a block holds from then on; once it is acknowledged, all that had ended before it
 * began is gone; when its outcome is unknown, the old and the new are both possible, until somebody looks. What is
 * acknowledged but not flushed may be lost with the power, and only then.
 */

/** One block's share of a write, or of anything else that changes blocks. */
interface Version {
  /** For people: which write it belongs to. */
  readonly title: string
  readonly content: Uint8Array
  readonly start: number
  /** When its outcome was settled: after that it changes nothing any more. Infinity: it still may. */
  end: number
  observed: boolean
  /** When somebody had seen it, and when something else was seen after that: then it doesn't come back. */
  seen: number
  gone: boolean
}

interface Block {
  /** What it may hold now. */
  candidates: Version[]
  /** What it may hold if the power fails now; a superset of the candidates. */
  crash: Version[]
  /** All it ever could hold, in the order they became possible. */
  readonly log: Version[]
}

/** How a change has ended. */
export type Outcome =
  | "done"
  /** Carried out wholly, partly or not at all, and over. */
  | "maybe"
  /** The same, but it may still come to pass until `fence` is called for its owner. */
  | "unknown"
  /** Not carried out. */
  | "never"

export interface ReadTicket {
  readonly title: string
  readonly lba: number
  readonly start: number
  readonly epoch: number
  readonly seen: { readonly candidates: readonly Version[]; readonly logged: number }[]
}

export interface WriteTicket extends ReadTicket {
  readonly owner: object
  readonly fua: boolean
  readonly versions: readonly Version[]
}

export interface FlushTicket {
  readonly start: number
  readonly epoch: number
  readonly seen: ReadonlyMap<Block, readonly Version[]>
}

/** The disk held what it can't have held. */
export class OracleViolation extends Error {}

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

export class OracleDisk {
  readonly name: string
  readonly blockBytes: number
  /** Acknowledged writes may be lost with the power. */
  readonly volatile: boolean
  /**
   * One initiator alone writes to it. It sends a write again only when nothing else was written there meanwhile, so
   * what was seen, and then something else, doesn't come back.
   */
  readonly alone: boolean
  readonly #blocks: Block[] = []
  /** Blocks that aren't there, for a resize that brings them (back). */
  readonly #beyond: Block[] = []
  #tick = 0
  #epoch = 0
  readonly #unknown = new Map<object, Version[]>()
  readonly #dirty = new Set<Block>()

  constructor(
    name: string,
    blockBytes: number,
    countBlocks: number,
    { volatile, alone }: { volatile: boolean; alone: boolean },
  ) {
    this.name = name
    this.blockBytes = blockBytes
    this.volatile = volatile
    this.alone = alone
    for (let lba = 0; lba < countBlocks; lba++) this.#blocks.push(this.#fresh("never written"))
  }

  get countBlocks(): number {
    return this.#blocks.length
  }

  /** Times the power has failed. */
  get epoch(): number {
    return this.#epoch
  }

  #fresh(title: string): Block {
    const zero = this.#zero(title)
    return { candidates: [zero], crash: [zero], log: [zero] }
  }

  #zero(title: string): Version {
    const at = this.#tick
    return version(title, new Uint8Array(this.blockBytes), at, at)
  }

  // ------------------------------------------------------------------------------------------ reads

  /** Block `lba`, which need not be there yet, or any more: the disk may grow while an operation is on its way to it. */
  #block(lba: number): Block {
    return this.#blocks[lba] ?? (this.#beyond[lba] ??= this.#fresh("not there"))
  }

  beginRead(title: string, lba: number, countBlocks: number): ReadTicket {
    const seen = Array.from({ length: countBlocks }, (_, i) => {
      const { candidates, log } = this.#block(lba + i)
      return { candidates, logged: log.length }
    })
    return { title, lba, start: ++this.#tick, epoch: this.#epoch, seen }
  }

  /** Judges what was read. Throws OracleViolation. */
  endRead(ticket: ReadTicket, bytes: Uint8Array): void {
    ++this.#tick
    ticket.seen.forEach((_, i) => {
      const block = this.#blocks[ticket.lba + i]
      if (!block) return // cut off meanwhile
      const content = bytes.subarray(i * this.blockBytes, (i + 1) * this.blockBytes)
      const possible = this.#allowed(ticket, i, block)
      const matching = possible.filter((version) => equal(version.content, content))
      if (matching.length === 0) throw this.#violation(ticket, i, block, content, possible)
      if (matching.length === 1) matching[0]!.observed = true
      if (ticket.epoch !== this.#epoch) return
      if (this.alone) this.#bury(block, ticket, matching)
      const left = block.candidates.filter((v) => (v.end >= ticket.start && !v.gone) || matching.includes(v))
      if (left.length === 0) throw this.#violation(ticket, i, block, content, block.candidates)
      block.candidates = left
    })
  }

  /** What was seen before, and isn't there now, has been overwritten. */
  #bury(block: Block, ticket: ReadTicket, matching: readonly Version[]): void {
    for (const candidate of block.candidates) {
      if (!matching.includes(candidate) && candidate.seen < ticket.start) candidate.gone = true
    }
    if (matching.length === 1) matching[0]!.seen = Math.min(matching[0]!.seen, this.#tick)
  }

  /** What block `i` of the ticket may have held at some time since then. */
  #allowed(ticket: ReadTicket, i: number, block: Block): Version[] {
    const { candidates, logged } = ticket.seen[i]!
    return [...candidates, ...block.log.slice(logged)]
  }

  #violation(
    ticket: ReadTicket,
    i: number,
    block: Block,
    content: Uint8Array,
    possible: readonly Version[],
  ): OracleViolation {
    const known = block.log.filter((version) => equal(version.content, content)).map(told)
    const head = Buffer.from(content.subarray(0, 16)).toString("hex")
    return new OracleViolation(
      `${this.name}: ${ticket.title}: block ${ticket.lba + i} held ${known.join(" or ") || `${head}…, which nobody wrote`}` +
        `; possible: ${possible.map(told).join(", ")}`,
    )
  }

  // ------------------------------------------------------------------------------------------ changes

  /** A change to `content` begins; `owner` is whose session it runs in. */
  beginWrite(title: string, owner: object, lba: number, content: Uint8Array, fua: boolean): WriteTicket {
    const ticket = this.beginRead(title, lba, content.length / this.blockBytes)
    const versions = ticket.seen.map((_, i) => {
      const block = this.#block(lba + i)
      const part = content.subarray(i * this.blockBytes, (i + 1) * this.blockBytes)
      const added = version(title, part, ticket.start, Infinity)
      block.candidates = [...block.candidates, added]
      block.crash = [...block.crash, added]
      block.log.push(added)
      this.#dirty.add(block)
      return added
    })
    return { ...ticket, owner, fua: fua || !this.volatile, versions }
  }

  endWrite(ticket: WriteTicket, outcome: Outcome): void {
    const now = ++this.#tick
    if (outcome === "unknown") {
      const pending = this.#unknown.get(ticket.owner) ?? []
      this.#unknown.set(ticket.owner, [...pending, ...ticket.versions])
      return
    }
    ticket.versions.forEach((version, i) => {
      version.end = now
      const block = this.#blocks[ticket.lba + i]
      if (!block?.log.includes(version)) return // cut off meanwhile
      if (outcome === "never") return this.#take(block, version, ticket)
      if (outcome === "maybe") return
      if (version.gone) return
      const later = (v: Version) => v === version || v.end >= version.start
      block.candidates = withVersion(block.candidates.filter(later), version)
      if (ticket.fua) block.crash = withVersion(block.crash.filter(later), version)
    })
  }

  #take(block: Block, version: Version, ticket: WriteTicket): void {
    if (version.observed) {
      throw new OracleViolation(
        `${this.name}: ${ticket.title} failed without effect, but somebody has read its data`,
      )
    }
    block.candidates = block.candidates.filter((v) => v !== version)
    block.crash = block.crash.filter((v) => v !== version)
  }

  /** COMPARE AND WRITE has told that the blocks held `expected`: could they? The write is `ticket`. */
  compared(ticket: WriteTicket, expected: Uint8Array, matched: boolean): void {
    let mayDiffer = false
    ticket.versions.forEach((own, i) => {
      const block = this.#blocks[ticket.lba + i]
      if (!block) return void (mayDiffer = true)
      const content = expected.subarray(i * this.blockBytes, (i + 1) * this.blockBytes)
      const possible = this.#allowed(ticket, i, block).filter((v) => v !== own)
      if (matched && !possible.some((v) => equal(v.content, content))) {
        throw this.#violation(ticket, i, block, content, possible)
      }
      mayDiffer ||= possible.some((v) => !equal(v.content, content))
    })
    if (!matched && !mayDiffer) {
      throw new OracleViolation(`${this.name}: ${ticket.title}: a miscompare with what the blocks must hold`)
    }
  }

  /** VERIFY said that the blocks don't hold `expected`: can that be? */
  differed(ticket: ReadTicket, expected: Uint8Array): void {
    const mayDiffer = ticket.seen.some((_, i) => {
      const block = this.#blocks[ticket.lba + i]
      const content = expected.subarray(i * this.blockBytes, (i + 1) * this.blockBytes)
      return !block || this.#allowed(ticket, i, block).some((v) => !equal(v.content, content))
    })
    if (!mayDiffer)
      throw new OracleViolation(`${this.name}: ${ticket.title}: a miscompare with what the blocks must hold`)
  }

  /** Nothing of that owner's earlier changes can come to pass any more. */
  fence(owner: object): void {
    const now = ++this.#tick
    for (const version of this.#unknown.get(owner) ?? []) version.end = now
    this.#unknown.delete(owner)
  }

  // ------------------------------------------------------------------------------------------ durability

  beginFlush(): FlushTicket {
    const seen = new Map<Block, readonly Version[]>()
    for (const block of this.#dirty) seen.set(block, block.candidates)
    return { start: ++this.#tick, epoch: this.#epoch, seen }
  }

  endFlush(ticket: FlushTicket): void {
    ++this.#tick
    if (ticket.epoch !== this.#epoch) return // it was carried out before the power failed, or after: nobody knows
    for (const [block, before] of ticket.seen) {
      block.crash = block.crash.filter((v) => v.start >= ticket.start || before.includes(v))
      if (block.crash.length === 1) this.#dirty.delete(block)
    }
  }

  /** The power fails: what was not flushed may be gone, and all that was under way. */
  crash(): void {
    ++this.#tick
    this.#epoch++
    for (const block of this.#blocks) exhume(block)
    for (const block of this.#dirty) {
      if (block.crash.length <= block.candidates.length) continue
      block.candidates = block.crash
      block.log.push(...block.crash)
    }
  }

  /** The size has changed: what is cut off is forgotten, what comes back or is added reads as zeroes. */
  resize(countBlocks: number): void {
    ++this.#tick
    for (const [lba, block] of this.#blocks.entries()) {
      if (lba < countBlocks) continue
      exhume(block)
      const zero = this.#zero("cut off")
      const underWay = block.candidates.filter((v) => v.end === Infinity)
      block.candidates = [zero, ...underWay]
      block.crash = block.candidates
      block.log.push(zero)
      this.#beyond[lba] = block
    }
    if (countBlocks < this.#blocks.length) this.#blocks.length = countBlocks
    for (let lba = this.#blocks.length; lba < countBlocks; lba++) {
      this.#blocks.push(this.#beyond[lba] ?? this.#fresh("never written"))
    }
  }
}

const version = (title: string, content: Uint8Array, start: number, end: number): Version => ({
  title,
  content,
  start,
  end,
  observed: false,
  seen: Infinity,
  gone: false,
})

/** What was seen last is not what is there any more: a write that is sent again may bring back what it wrote before. */
function exhume({ log }: Block): void {
  for (const one of log) {
    one.seen = Infinity
    one.gone = false
  }
}

const told = (version: Version): string =>
  `${version.title} [${version.start}, ${version.end === Infinity ? "…" : version.end}]`

const withVersion = (versions: Version[], version: Version): Version[] =>
  versions.includes(version) ? versions : [...versions, version]
