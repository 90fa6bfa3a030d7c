import { createHash } from "node:crypto"
import { realpath } from "node:fs/promises"
import { type Clock, systemClock } from "../../base/clock.ts"
import { SanletError } from "../../base/errors.ts"
import { IDENTITIES_MAX } from "../../base/limits.ts"
import { type Log, silentLog } from "../../base/log.ts"
import { type Random, systemRandom } from "../../base/random.ts"
import { makeFolder, removeDrafts } from "../durable-file.ts"
import { findFile, isSameInode, markOf, presentMark } from "./file-mark.ts"
import { withFolderLock } from "./folder-lock.ts"
import { isAlive, ownStamp, pidOf } from "./process-stamp.ts"
import { type IdentityRecord, readRecords, removeRecord, writeRecord } from "./record.ts"

/** What a logical unit is known by. */
export interface Identity {
  /** Unit serial number (VPD page 80h). */
  readonly serial: string
  /** NAA designator (VPD page 83h): 16 or 32 lower-case hex digits. */
  readonly naa: string
}

/** Whose identity it is: a file's, which it keeps when it is moved; or that of something with a lasting name. */
export type IdentitySubject = { readonly file: string } | { readonly name: string }

export interface IdentityClaim extends Identity {
  /** What is remembered of the subject isn't under its NAA name yet. Undefined: it is. */
  readonly move: Move | undefined
  /** What is remembered of the subject is under its NAA name from now on, and that is stable. */
  readonly settle: () => Promise<void>
  /** Nobody serves it any more. */
  readonly release: () => Promise<void>
}

/** How what is remembered of a subject comes under another name, whatever happens to the power meanwhile. */
export interface Move {
  /**
   * NAA names it may still be under, the oldest first. None: nothing is remembered of the subject, and what is under its
   * name is somebody else's, who is gone.
   */
  readonly from: readonly string[]
  /** It was begun before and may have been done: then nothing is under any of those names. */
  readonly resumed: boolean
}

export interface IdentityStoreOptions {
  readonly clock?: Clock
  readonly random?: Random
  readonly log?: Log
}

/**
 * Gives each logical unit an identity of its own, and the same one again after a restart. It is made of randomness
 * once, and kept in a folder, a file per identity. Two units never get the same: a file and its copy have different
 * ones, and a file that some process serves already isn't given out again.
 *
 * Errors: ERR_IDENTITY_CONFLICT (somebody else has it), ERR_IDENTITY_IN_USE (served already), ERR_STATE_FOLDER.
 */
export class IdentityStore {
  readonly #folder: string
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: Log
  #queue: Promise<unknown> = Promise.resolve()

  constructor(folder: string, options: IdentityStoreOptions = {}) {
    this.#folder = folder
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#log = options.log ?? silentLog
  }

  /** `wanted`: what the configuration says; its other half is derived from the one that is given. */
  claim(subject: IdentitySubject, wanted: Partial<Identity> = {}): Promise<IdentityClaim> {
    return this.#exclusively(async () => {
      const records = await this.#records()
      const fresh = await describe(subject)
      const known = await this.#find(fresh, records)
      if (known?.holder !== undefined && isAlive(known.holder)) throw inUse(fresh, known)
      const identity = complete(wanted, known) ?? this.#invent(records)
      await this.#checkUnique(fresh, identity, known, records)
      if (!known) await this.#makeRoom(records)
      const move = moveOf(identity, known)
      const settled: IdentityRecord = { ...fresh, ...identity, holder: ownStamp() }
      let record: IdentityRecord = move ? { ...settled, movesFrom: move.from } : settled
      await writeRecord(this.#folder, record)
      if (known && known.naa !== record.naa) await removeRecord(this.#folder, known)
      const settle = async () => {
        if (record === settled) return
        await this.#exclusively(() => writeRecord(this.#folder, settled))
        record = settled
      }
      let released: Promise<void> | undefined
      const release = () => (released ??= this.#release(subject, record))
      return { ...identity, move, settle, release }
    })
  }

  /** Without those that a subject has left for another: a crash came before they were removed. */
  async #records(): Promise<IdentityRecord[]> {
    await removeDrafts(this.#folder)
    const records = await readRecords(this.#folder, (path) => {
      this.#log.warn({ path }, "this is no identity record; passed over")
    })
    const left = records.filter((old) =>
      records.some((record) => record.movesFrom?.includes(old.naa) && isSameSubject(record, old)),
    )
    for (const old of left) await removeRecord(this.#folder, old)
    return records.filter((record) => !left.includes(record))
  }

  /** What the file looks like when it is left is what a move to another file system will show. */
  #release(subject: IdentitySubject, record: IdentityRecord): Promise<void> {
    return this.#exclusively(async () => {
      const { holder: _, ...released } = record
      const now = await describe(subject).catch(() => undefined)
      await writeRecord(this.#folder, { ...released, ...now })
    })
  }

  /** One after the other, within the process and among processes. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const run = async () => {
      try {
        await makeFolder(this.#folder)
        return await withFolderLock(this.#folder, this.#clock, work)
      } catch (error) {
        throw error instanceof SanletError ? error : this.#unusable(error as NodeJS.ErrnoException)
      }
    }
    const result = this.#queue.then(run)
    this.#queue = result.catch(() => {})
    return result
  }

  #unusable(error: NodeJS.ErrnoException): SanletError {
    const why = error.code ?? error.message
    const message = `cannot keep identities in ${this.#folder} (${why}); set XDG_STATE_HOME to a folder that lasts`
    return new SanletError("ERR_STATE_FOLDER", message, { cause: error })
  }

  async #find(fresh: Described, records: readonly IdentityRecord[]): Promise<IdentityRecord | undefined> {
    if (!fresh.file) return records.find((record) => record.name === fresh.name)
    const known = await findFile(fresh.file, records)
    const { path } = fresh.file
    if (!known && records.some((record) => record.file?.path === path)) {
      this.#log.warn({ path }, "another file than before is in this place: it gets an identity of its own")
    }
    return known
  }

  async #checkUnique(
    fresh: Described,
    identity: Identity,
    known: IdentityRecord | undefined,
    records: readonly IdentityRecord[],
  ): Promise<void> {
    for (const record of records) {
      const sharesNaa = record.naa === identity.naa || record.movesFrom?.includes(identity.naa) === true
      if (record === known || (!sharesNaa && record.serial !== identity.serial)) continue
      const served = record.holder !== undefined && isAlive(record.holder)
      if (!served && record.file && !(await presentMark(record.file))) {
        // Its owner is gone; whoever asks for it by name may have it.
        await removeRecord(this.#folder, record)
        continue
      }
      const what = sharesNaa ? `NAA ${identity.naa}` : `serial ${identity.serial}`
      const message = `${nameOf(fresh)} cannot have the ${what}: it is the identity of ${nameOf(record)}`
      throw new SanletError("ERR_IDENTITY_CONFLICT", message)
    }
  }

  /**
   * NAA 3h, locally assigned (SPC-4 §7.8.6.6.3): 60 bits of randomness, because the other formats begin with a
   * company's number. The serial is the same digits.
   */
  #invent(records: readonly IdentityRecord[]): Identity {
    for (;;) {
      const digits = Buffer.from(this.#random.fill(new Uint8Array(8)))
        .toString("hex")
        .slice(1)
      const made = `3${digits}`
      if (!records.some(({ naa, serial }) => naa === made || serial === made))
        return { serial: made, naa: made }
    }
  }

  async #makeRoom(records: readonly IdentityRecord[]): Promise<void> {
    if (records.length < IDENTITIES_MAX) return
    let left = records.length
    for (const record of records) {
      const inUse = record.holder !== undefined && isAlive(record.holder)
      if (inUse || !record.file || (await presentMark(record.file))) continue
      await removeRecord(this.#folder, record)
      left--
    }
    if (left < IDENTITIES_MAX) return
    throw new SanletError("ERR_STATE_FOLDER", `${this.#folder} holds ${left} identities; no more are kept`)
  }
}

type Described = Pick<IdentityRecord, "file" | "name">

async function describe(subject: IdentitySubject): Promise<Described> {
  if ("name" in subject) return { name: subject.name }
  return { file: await markOf(await realpath(subject.file)) }
}

const nameOf = ({ file, name }: Described): string => file?.path ?? name ?? "another unit"

function inUse(fresh: Described, { holder = "" }: IdentityRecord): SanletError {
  const by = pidOf(holder) === process.pid ? "by another LUN" : `by process ${pidOf(holder)}`
  return new SanletError("ERR_IDENTITY_IN_USE", `${nameOf(fresh)} is already served ${by}`)
}

function isSameSubject(a: Described, b: Described): boolean {
  if (a.file && b.file) return isSameInode(a.file, b.file)
  return a.name !== undefined && a.name === b.name
}

/** What is to be done so that what is remembered is under the name the subject has now. */
function moveOf({ naa }: Identity, known: IdentityRecord | undefined): Move | undefined {
  if (known === undefined) return { from: [], resumed: false }
  const { movesFrom } = known
  if (known.naa === naa) return movesFrom && { from: movesFrom, resumed: true }
  // Of a move that may have been done or not, its end is where it is sought last.
  return { from: [...(movesFrom ?? []), known.naa], resumed: false }
}

/** The identity that is wanted, else the known one; undefined: there is neither. */
function complete(wanted: Partial<Identity>, known: IdentityRecord | undefined): Identity | undefined {
  const { serial, naa } = wanted
  if (serial !== undefined && naa !== undefined) return { serial, naa }
  if (serial !== undefined) return { serial, naa: known?.serial === serial ? known.naa : naaOf(serial) }
  if (naa !== undefined) return { serial: known?.naa === naa ? known.serial : naa, naa }
  return known && { serial: known.serial, naa: known.naa }
}

const naaOf = (serial: string): string => `3${createHash("sha256").update(serial).digest("hex").slice(0, 15)}`
