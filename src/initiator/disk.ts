import { ISER_TRANSFER_BYTES_MAX, TRANSFER_BYTES_MAX } from "../base/limits.ts"
import * as cdb from "../scsi/cdb/index.ts"
import { Asc, SenseKey } from "../scsi/spec/sense.ts"
import * as forms from "./cdb.ts"
import type { BlockRange } from "./cdb.ts"
import type { ScsiRequest, ScsiResult } from "./command.ts"
import type {
  BlockStatus,
  DiskOptions,
  ExecuteOptions,
  OperationOptions,
  WriteOptions,
} from "./disk-options.ts"
import { DiskError, ShortTransferError } from "./errors.ts"
import { type DiskLocation, type OpenOptions, openSession } from "./open.ts"
import type { Session } from "./session.ts"
import { Unit } from "./unit.ts"
import {
  type InquiryData,
  isSense,
  type UnitIdentity,
  type UnitLimits,
  type UnitModes,
  vpdPage,
} from "./unit-info.ts"

const PROVISIONING = ["mapped", "deallocated", "anchored"] as const

/**
 * A logical unit as a disk: whole blocks are read and written by address, in any number at once. Operations longer than
 * one command may be are cut up; when one of them fails, others of the same operation may have been carried out.
 *
 *     const disk = await Disk.open("iscsi://127.0.0.1/iqn.2026-01.org.example:disk0/0")
 *     await disk.readBlocks(0, new Uint8Array(disk.blockBytes))
 *     await disk.close()
 *
 * After a lost connection the session comes back by itself. Reads are then sent again, and so are writes that no
 * other change under way has met; everything else fails with OutcomeUnknownError.
 *
 * Rejections: ScsiError (a status other than GOOD), DiskError (asked for what can't be), ShortTransferError,
 * UnitChangedError, those of Session.execute, and the signal's reason.
 */
export class Disk {
  readonly #unit: Unit
  readonly #ownsSession: boolean

  private constructor(unit: Unit, ownsSession: boolean) {
    this.#unit = unit
    this.#ownsSession = ownsSession
  }

  /** Logs in and looks at the logical unit. Rejects as Session.open does, and with DiskError, ScsiError. */
  static async open(where: string | DiskLocation, options: OpenOptions = {}): Promise<Disk> {
    const { session, lun, unitSerialNumber } = await openSession(where, options)
    const asked = options.unitSerialNumber ?? unitSerialNumber
    const diskOptions = { ...options, ...(asked !== undefined && { unitSerialNumber: asked }) }
    const unit = new Unit(session, lun, diskOptions)
    try {
      await unit.setUp(options.signal)
    } catch (error) {
      await session.close()
      throw error
    }
    return new Disk(unit, true)
  }

  /** A disk of a session that stays its owner's to close. */
  static async on(
    session: Session,
    lun: number,
    options: DiskOptions & { signal?: AbortSignal } = {},
  ): Promise<Disk> {
    const unit = new Unit(session, lun, options)
    await unit.setUp(options.signal)
    return new Disk(unit, false)
  }

  get session(): Session {
    return this.#unit.session
  }

  get lun(): number {
    return this.#unit.lun
  }

  /** Standard INQUIRY data. */
  get inquiry(): InquiryData {
    return this.#unit.inquiry
  }

  /** What tells it from all others: it must still be so after the session was lost. */
  get identity(): UnitIdentity {
    return this.#unit.identity
  }

  get limits(): UnitLimits {
    return this.#unit.limits
  }

  get modes(): UnitModes {
    return this.#unit.modes
  }

  get sizeBytes(): number {
    const { countBlocks, blockBytes } = this.#unit.capacity
    return countBlocks * blockBytes
  }

  get countBlocks(): number {
    return this.#unit.capacity.countBlocks
  }

  get blockBytes(): number {
    return this.#unit.capacity.blockBytes
  }

  get physicalBlockBytes(): number {
    return this.#unit.capacity.physicalBlockBytes
  }

  /** Blocks can be unmapped. */
  get thin(): boolean {
    return this.#unit.capacity.thin
  }

  // -------------------------------------------------------------------------------------- reading, writing

  /** Reads into.length bytes, whole blocks, from block `lba` on. */
  readBlocks(lba: number, into: Uint8Array, options: OperationOptions = {}): Promise<void> {
    return this.#transfer("READ", lba, into, options, (from, count, part) =>
      this.#unit.request(forms.read(from, count), options, { dataIn: part, replay: true }),
    )
  }

  /** Writes from.length bytes, whole blocks, to block `lba` and on. `from` is lent until the promise settles. */
  async writeBlocks(lba: number, from: Uint8Array, options: WriteOptions = {}): Promise<void> {
    const fua = options.fua === true && this.modes.dpoFua
    await this.#transfer("WRITE", lba, from, options, (at, count, part) =>
      this.#unit.request(forms.write(at, count, fua), options, { dataOut: part, replay: true }),
    )
    if (options.fua && !fua) await this.flush(options)
  }

  /** The same by bytes: offset and length must be multiples of blockBytes. */
  read(offsetBytes: number, into: Uint8Array, options?: OperationOptions): Promise<void> {
    return this.readBlocks(this.#block(offsetBytes), into, options)
  }

  write(offsetBytes: number, from: Uint8Array, options?: WriteOptions): Promise<void> {
    return this.writeBlocks(this.#block(offsetBytes), from, options)
  }

  /** Everything acknowledged before is on stable storage then. */
  async flush(options: OperationOptions = {}): Promise<void> {
    const request = this.#unit.request(cdb.synchronizeCache10(), options, { replay: true })
    await this.#unit.operate("SYNCHRONIZE CACHE", request)
  }

  /** Whether the blocks hold just these bytes. */
  async verifyBlocks(lba: number, expected: Uint8Array, options: OperationOptions = {}): Promise<boolean> {
    try {
      await this.#transfer("VERIFY", lba, expected, options, (from, count, part) =>
        this.#unit.request(forms.verify(from, count, true), options, { dataOut: part, replay: true }),
      )
      return true
    } catch (error) {
      if (isSense(error, SenseKey.miscompare)) return false
      throw error
    }
  }

  /** Whether the blocks can be read, without reading them over the network; rejects with ScsiError when not. */
  async checkBlocks(lba: number, countBlocks: number, options: OperationOptions = {}): Promise<void> {
    this.#checkRange(lba, countBlocks)
    for (const part of parts(lba, countBlocks, 0xffff)) {
      const command = forms.verify(part.lba, part.countBlocks, false)
      await this.#unit.operate("VERIFY", this.#unit.request(command, options, { replay: true }))
    }
  }

  /**
   * Writes `replacement` if the blocks hold `expected`, in one step nobody comes between; resolves with whether it did.
   * Never sent twice: OutcomeUnknownError when the connection is lost before the answer.
   */
  async compareAndWrite(
    lba: number,
    expected: Uint8Array,
    replacement: Uint8Array,
    options: WriteOptions = {},
  ): Promise<boolean> {
    const count = this.#countOf(expected.length)
    this.#checkRange(lba, count)
    if (expected.length !== replacement.length) {
      throw new DiskError("ERR_ARGUMENT", "compareAndWrite: expected and replacement differ in length")
    }
    const max = this.limits.compareAndWriteBlocks
    if (max === 0) throw new DiskError("ERR_NOT_SUPPORTED", "the logical unit has no COMPARE AND WRITE")
    if (count > max)
      throw new DiskError("ERR_RANGE", `compareAndWrite: ${count} blocks; ${max} are allowed at once`)
    const dataOut = new Uint8Array(expected.length * 2)
    dataOut.set(expected)
    dataOut.set(replacement, expected.length)
    const command = forms.compareAndWrite(lba, count, options.fua === true)
    const request = this.#unit.request(command, options, { dataOut })
    try {
      await this.#unit.operate("COMPARE AND WRITE", request, lba, lba + count)
      return true
    } catch (error) {
      if (isSense(error, SenseKey.miscompare)) return false
      throw error
    }
  }

  // ---------------------------------------------------------------------------------------- provisioning

  /** Gives blocks back (UNMAP). What they read as then is the logical unit's matter: limits.unmappedReadZeroes. */
  async unmap(ranges: readonly BlockRange[], options: OperationOptions = {}): Promise<void> {
    if (!this.limits.unmap) throw new DiskError("ERR_NOT_SUPPORTED", "the logical unit has no UNMAP")
    for (const { lba, countBlocks } of ranges) this.#checkRange(lba, countBlocks)
    const blocksMax = this.limits.unmapBlocks || 0xffffffff
    const descriptorsMax = this.limits.unmapDescriptors || 256
    const pieces = ranges.flatMap(({ lba, countBlocks }) => [...parts(lba, countBlocks, blocksMax)])
    for (let at = 0; at < pieces.length; ) {
      const list: BlockRange[] = []
      let blocks = 0
      // The limit is on the sum of all descriptors (SBC-3 §6.6.4).
      while (at < pieces.length && list.length < Math.min(descriptorsMax, 4000)) {
        const piece = pieces[at]!
        if (list.length > 0 && blocks + piece.countBlocks > blocksMax) break
        list.push(piece)
        blocks += piece.countBlocks
        at++
      }
      await this.#unmapList(list, options)
    }
  }

  async #unmapList(list: readonly BlockRange[], options: OperationOptions): Promise<void> {
    const dataOut = forms.unmapParameters(list)
    const from = Math.min(...list.map(({ lba }) => lba))
    const to = Math.max(...list.map(({ lba, countBlocks }) => lba + countBlocks))
    const request = this.#unit.request(cdb.unmap(dataOut.length), options, { dataOut, replay: true })
    await this.#unit.operate("UNMAP", request, from, to)
  }

  /** Writes one block's content to many (WRITE SAME). */
  async writeSame(
    lba: number,
    countBlocks: number,
    block: Uint8Array,
    options: OperationOptions & { readonly unmap?: boolean } = {},
  ): Promise<void> {
    this.#checkRange(lba, countBlocks)
    if (block.length !== this.blockBytes) {
      throw new DiskError(
        "ERR_ALIGNMENT",
        `writeSame takes one block of ${this.blockBytes} bytes, not ${block.length}`,
      )
    }
    const max = Math.min(this.limits.writeSameBlocks || WRITE_SAME_BLOCKS, 0xffffffff)
    for (const part of parts(lba, countBlocks, max)) {
      const command = forms.writeSame(part.lba, part.countBlocks, options.unmap === true)
      const request = this.#unit.request(command, options, { dataOut: block, replay: true })
      await this.#unit.operate("WRITE SAME", request, part.lba, part.lba + part.countBlocks)
    }
  }

  /**
   * Makes blocks read as zeroes; `unmap`: giving them back where the logical unit can do that and still keep the
   * promise. Without WRITE SAME zeroes are written.
   */
  async writeZeroes(
    lba: number,
    countBlocks: number,
    options: OperationOptions & { readonly unmap?: boolean } = {},
  ): Promise<void> {
    const { writeSameUnmaps, unmappedReadZeroes } = this.limits
    const unmap = options.unmap === true && writeSameUnmaps && unmappedReadZeroes
    try {
      await this.writeSame(lba, countBlocks, new Uint8Array(this.blockBytes), { ...options, unmap })
    } catch (error) {
      if (!isSense(error, SenseKey.illegalRequest, Asc.invalidCommandOperationCode)) throw error
      const zeroes = new Uint8Array(Math.min(countBlocks, this.#transferBlocks) * this.blockBytes)
      for (const part of parts(lba, countBlocks, this.#transferBlocks)) {
        await this.writeBlocks(part.lba, zeroes.subarray(0, part.countBlocks * this.blockBytes), options)
      }
    }
  }

  /** Which blocks from `lba` on hold data, for as far as one answer goes; at least one entry. */
  async getLbaStatus(lba: number, options: OperationOptions = {}): Promise<BlockStatus[]> {
    this.#checkRange(lba, 1)
    const dataIn = new Uint8Array(LBA_STATUS_BYTES)
    const command = cdb.getLbaStatus(lba, dataIn.length)
    const request = this.#unit.request(command, options, { dataIn, replay: true })
    const { dataInBytes } = await this.#unit.operate("GET LBA STATUS", request)
    const view = new DataView(dataIn.buffer)
    const end = Math.min(dataInBytes, 4 + view.getUint32(0))
    const statuses: BlockStatus[] = []
    for (let at = 8; at + 16 <= end; at += 16) {
      statuses.push({
        lba: view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4),
        countBlocks: view.getUint32(at + 8),
        provisioning: PROVISIONING[view.getUint8(at + 12) & 0x0f] ?? "unknown",
      })
    }
    if (statuses.length === 0) throw new ShortTransferError("GET LBA STATUS", dataInBytes, 24)
    return statuses
  }

  // ------------------------------------------------------------------------------------------ the rest

  /** Any command; resolves with any status. It isn't repeated by itself, and not replayed unless told so. */
  execute(command: Uint8Array, options: ExecuteOptions = {}): Promise<ScsiResult> {
    const { dataOut, dataIn, replay, attribute } = options
    const plain = this.#unit.request(command, options, { dataOut, dataIn, replay })
    const request = attribute === undefined ? plain : { ...plain, attribute }
    // What it changes is unknown: unless it only reads, no write is safe to be replayed while it is under way.
    const reads = dataIn !== undefined && dataOut === undefined
    const change = { from: 0, to: Number.POSITIVE_INFINITY, changeIndex: -1, overlapped() {} }
    return this.#unit.execute(request, reads ? undefined : change)
  }

  /** A VPD page with its header; undefined: the logical unit doesn't have it. */
  vpdPage(page: number): Promise<Uint8Array | undefined> {
    return vpdPage(this.#unit.run, this.lun, page)
  }

  /** Reads capacity, limits and modes anew. */
  refresh(): Promise<void> {
    return this.#unit.refresh()
  }

  /** LOGICAL UNIT RESET: ends everybody's commands to it. */
  reset(signal?: AbortSignal): Promise<void> {
    return this.session.resetLogicalUnit(this.lun, signal)
  }

  /** Waits for what is under way; logs out if Disk.open logged in. */
  async close(signal?: AbortSignal): Promise<void> {
    this.#unit.leave()
    if (this.#ownsSession) await this.session.close(signal)
  }

  // ------------------------------------------------------------------------------------------ helpers

  /** A transfer in as many commands as needed, all under way at once. */
  async #transfer(
    title: string,
    lba: number,
    data: Uint8Array,
    options: OperationOptions,
    request: (lba: number, countBlocks: number, part: Uint8Array) => ScsiRequest,
  ): Promise<void> {
    const { blockBytes } = this
    const count = this.#countOf(data.length)
    this.#checkRange(lba, count)
    options.signal?.throwIfAborted()
    const one = async (from: number, countBlocks: number, part: Uint8Array) => {
      const changed = title === "WRITE"
      const result = await this.#unit.operate(
        title,
        request(from, countBlocks, part),
        changed ? from : 0,
        changed ? from + countBlocks : 0,
      )
      const moved = title === "READ" ? result.dataInBytes : result.dataOutBytes
      if (moved !== part.length) throw new ShortTransferError(title, moved, part.length)
    }
    if (count === 0) return
    if (count <= this.#transferBlocks) return one(lba, count, data)
    const all = [...parts(lba, count, this.#transferBlocks)].map((part) => {
      const at = (part.lba - lba) * blockBytes
      return one(part.lba, part.countBlocks, data.subarray(at, at + part.countBlocks * blockBytes))
    })
    // Not before all have ended: until then the buffer isn't free.
    const failed = (await Promise.allSettled(all)).find((outcome) => outcome.status === "rejected")
    if (failed) throw failed.reason
  }

  get #transferBlocks(): number {
    const told = this.limits.transferBlocks
    const usual =
      told === 0 && this.session.transport === "iser" ? ISER_TRANSFER_BYTES_MAX : TRANSFER_BYTES_MAX
    const ours = Math.floor((this.#unit.options.transferBytesMax ?? usual) / this.blockBytes)
    return Math.max(1, Math.min(ours, told || ours))
  }

  #countOf(bytes: number): number {
    if (bytes % this.blockBytes === 0) return bytes / this.blockBytes
    throw new DiskError("ERR_ALIGNMENT", `${bytes} bytes are no whole blocks of ${this.blockBytes} bytes`)
  }

  #block(offsetBytes: number): number {
    if (offsetBytes % this.blockBytes === 0) return offsetBytes / this.blockBytes
    throw new DiskError(
      "ERR_ALIGNMENT",
      `offset ${offsetBytes} is not at a block of ${this.blockBytes} bytes`,
    )
  }

  #checkRange(lba: number, countBlocks: number): void {
    const valid =
      Number.isSafeInteger(lba) && Number.isSafeInteger(countBlocks) && lba >= 0 && countBlocks >= 0
    if (valid && lba + countBlocks <= this.countBlocks) return
    throw new DiskError(
      "ERR_RANGE",
      `blocks ${lba} to ${lba + countBlocks - 1} of a disk of ${this.countBlocks}`,
    )
  }
}

/** One WRITE SAME where the logical unit names no limit: a slow one must not run for minutes. */
const WRITE_SAME_BLOCKS = 65536
const LBA_STATUS_BYTES = 8 + 16 * 128

function* parts(lba: number, countBlocks: number, blocksMax: number): Generator<BlockRange> {
  for (let done = 0; done < countBlocks; done += blocksMax) {
    yield { lba: lba + done, countBlocks: Math.min(blocksMax, countBlocks - done) }
  }
}
