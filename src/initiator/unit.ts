import { type Sense, Asc } from "../scsi/spec/sense.ts"
import * as cdb from "../scsi/cdb/index.ts"
import { type Change, ChangeSet } from "./change-set.ts"
import type { ScsiRequest, ScsiResult } from "./command.ts"
import type { DiskOptions, OperationOptions } from "./disk-options.ts"
import { DiskError, UnitChangedError } from "./errors.ts"
import { Operation, type OperationHost, retryingRun } from "./operation.ts"
import type { Session } from "./session.ts"
import {
  type Capacity,
  checkInquiry,
  inquire,
  type InquiryData,
  readCapacity,
  readIdentity,
  readLimits,
  readModes,
  type Run,
  type UnitIdentity,
  type UnitLimits,
  type UnitModes,
} from "./unit-info.ts"

/** What a request has besides its CDB. */
type Moves = Pick<ScsiRequest, "dataIn" | "dataOut" | "replay">
const NOTHING: Moves = {}

/**
 * A logical unit in use: what it has said of itself, the commands sent there, and the look at it after the session was
 * lost and has come back.
 */
export class Unit implements OperationHost {
  readonly session: Session
  readonly lun: number
  readonly options: DiskOptions
  readonly changes = new ChangeSet()
  inquiry!: InquiryData
  identity!: UnitIdentity
  limits!: UnitLimits
  modes!: UnitModes
  capacity!: Capacity
  #unwatch: (() => void) | undefined
  /** It is another one now, or none. */
  #broken: Error | undefined

  constructor(session: Session, lun: number, options: DiskOptions) {
    this.session = session
    this.lun = lun
    this.options = options
  }

  /** Asks on our own account. */
  readonly run: Run = (request) => this.operate("setup", this.#inTime(request))

  async setUp(signal: AbortSignal | undefined): Promise<void> {
    const run: Run = (request) => this.run(signal ? { ...request, signal } : request)
    this.inquiry = await inquire(run, this.lun)
    checkInquiry(this.lun, this.inquiry)
    await run({ lun: this.lun, cdb: cdb.testUnitReady(), replay: true })
    this.capacity = await readCapacity(run, this.lun)
    this.identity = await readIdentity(run, this.lun)
    this.#checkSerial()
    this.limits = await readLimits(run, this.lun)
    this.modes = await readModes(run, this.lun)
    this.#unwatch = this.session.watch({ lun: this.lun, check: (bare) => this.#recheck(bare) })
  }

  #checkSerial(): void {
    const { unitSerialNumber } = this.options
    if (unitSerialNumber === undefined || this.identity.serial === unitSerialNumber) return
    const serial = this.identity.serial ?? "none"
    throw new UnitChangedError(`the unit serial number is ${serial}, not ${unitSerialNumber}`)
  }

  /** After the session was lost and has come back: is this the same logical unit? */
  async #recheck(bare: Run): Promise<void> {
    const run = retryingRun((request) => bare(this.#inTime(request)))
    try {
      checkInquiry(this.lun, await inquire(run, this.lun))
      const identity = await readIdentity(run, this.lun)
      if (!sameIdentity(this.identity, identity)) {
        throw new UnitChangedError(
          `logical unit ${this.lun} is another one now (serial ${identity.serial ?? "none"})`,
        )
      }
      await this.#readCapacity(run)
    } catch (error) {
      if (error instanceof UnitChangedError || error instanceof DiskError) this.#broken = error
      throw error
    }
  }

  async #readCapacity(run: Run): Promise<void> {
    const before = this.capacity
    const now = await readCapacity(run, this.lun)
    if (now.blockBytes !== before.blockBytes) {
      throw new UnitChangedError(`logical unit ${this.lun} has blocks of ${now.blockBytes} bytes now`)
    }
    this.capacity = now
    if (now.countBlocks === before.countBlocks) return
    this.options.onEvent?.({
      kind: "capacity-changed",
      lun: this.lun,
      sizeBytes: now.countBlocks * now.blockBytes,
    })
  }

  attention(sense: Sense): void {
    if (!this.#unwatch) return // that of the login, which everybody gets
    if (sense.asc === Asc.capacityDataHasChanged) void this.#readCapacity(this.run).catch(() => {})
    this.options.onEvent?.({ kind: "unit-attention", lun: this.lun, sense })
  }

  /** Reads capacity, limits and modes anew. */
  async refresh(): Promise<void> {
    await this.#readCapacity(this.run)
    this.limits = await readLimits(this.run, this.lun)
    this.modes = await readModes(this.run, this.lun)
  }

  /** No longer looks after it. */
  leave(): void {
    this.#unwatch?.()
  }

  /** All requests are made here, with all fields: objects of one shape are cheap. */
  request(command: Uint8Array, options: OperationOptions, moves: Moves = NOTHING): ScsiRequest {
    return {
      lun: this.lun,
      cdb: command,
      dataOut: moves.dataOut,
      dataIn: moves.dataIn,
      signal: options.signal,
      timeoutMs: options.timeoutMs ?? this.options.timeoutMs,
      replay: moves.replay,
    }
  }

  /** What we ask on our own account has the disk's timeout too: a target may end any command without a word. */
  #inTime(request: ScsiRequest): ScsiRequest {
    const { timeoutMs } = this.options
    return timeoutMs === undefined ? request : { ...request, timeoutMs }
  }

  operate(title: string, request: ScsiRequest, from = 0, to = 0): Promise<ScsiResult> {
    if (this.#broken) return Promise.reject(this.#broken)
    return new Promise((resolve, reject) => {
      new Operation(this, title, request, from, to, resolve, reject).start()
    })
  }

  /** One attempt, whatever comes of it; `change`: what it may change meanwhile. */
  async execute(request: ScsiRequest, change: Change | undefined): Promise<ScsiResult> {
    if (this.#broken) throw this.#broken
    if (!change) return this.session.execute(request)
    this.changes.add(change)
    try {
      return await this.session.execute(request)
    } finally {
      this.changes.delete(change)
    }
  }
}

function sameIdentity(before: UnitIdentity, now: UnitIdentity): boolean {
  if (before.serial !== now.serial) return false
  if (before.designators.length === 0) return true
  return before.designators.some((designator) => now.designators.includes(designator))
}
