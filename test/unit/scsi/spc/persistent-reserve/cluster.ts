/** Hosts that share the test unit: what they do with PERSISTENT RESERVE IN and OUT, in words. */
import assert from "node:assert/strict"
import * as cdb from "../../../../../src/scsi/cdb/index.ts"
import { Nexus } from "../../../../../src/scsi/sam/nexus.ts"
import type { ReservationStore } from "../../../../../src/scsi/sam/reservation-store.ts"
import { PersistentReserveIn } from "../../../../../src/scsi/spec/operation-code.ts"
import { Status } from "../../../../../src/scsi/spec/status.ts"
import { good, type TestTask, type TestTaskOptions } from "../../../../suites/scsi-task.ts"
import { type Bench, CHANGE, makeBench, own } from "../../test-unit.ts"

export interface PortOptions {
  /** ISID; default 1. */
  readonly isid?: number
  /** Relative target port; default 1. */
  readonly port?: number
}

const TARGET = "iqn.2026-01.org.example:target"

export const portName = (host: string, isid = 1): string =>
  `iqn.2026-01.org.example:${host},i,0x${isid.toString(16).padStart(12, "0")}`

export const nexusOf = (host: string, { isid = 1, port = 1 }: PortOptions = {}): Nexus =>
  new Nexus({
    initiatorName: `iqn.2026-01.org.example:${host}`,
    initiatorPortName: portName(host, isid),
    targetPortName: `${TARGET},t,0x${port.toString(16).padStart(4, "0")}`,
    relativeTargetPort: port,
  })

export interface OutOptions extends cdb.PersistentReserveList {
  readonly type?: number
}

export interface FullStatus {
  readonly key: bigint
  readonly port: number
  readonly initiator: string
  /** Type of the reservation it holds; 0: none. */
  readonly holds: number
}

/** "good", "conflict", or sense key and additional sense code: "5/2600". */
export function outcome(task: TestTask): string {
  if (task.status === Status.good) return "good"
  if (task.status === Status.reservationConflict) return "conflict"
  assert.equal(task.status, Status.checkCondition)
  const { key, asc } = task.sense!
  return `${key.toString(16)}/${asc.toString(16).padStart(4, "0")}`
}

export class Cluster {
  readonly bench: Bench = makeBench()

  constructor(store?: ReservationStore) {
    if (store) this.bench.unit.reservation.keepIn(store)
  }

  /** A host that has logged in, and knows of it. */
  host(name: string, options: PortOptions = {}): Nexus {
    const nexus = nexusOf(name, options)
    this.bench.target.attachNexus(nexus)
    while (this.bench.unit.takeUnitAttention(nexus) !== undefined);
    return nexus
  }

  run(nexus: Nexus, bytes: Uint8Array, options: TestTaskOptions = {}): Promise<TestTask> {
    return this.bench.run(bytes, { ...options, nexus })
  }

  send(nexus: Nexus, bytes: Uint8Array | readonly number[], options: TestTaskOptions = {}): TestTask {
    return this.bench.send(bytes, { ...options, nexus })
  }

  async out(nexus: Nexus, action: number, options: OutOptions = {}): Promise<string> {
    const dataOut = cdb.persistentReserveList(options)
    return outcome(
      await this.run(nexus, cdb.persistentReserveOut(action, dataOut.length, options.type), { dataOut }),
    )
  }

  /** What the unit attentions pending for a nexus say, which are over then. */
  attentions(nexus: Nexus): number[] {
    const codes: number[] = []
    for (;;) {
      const task = this.send(nexus, cdb.testUnitReady())
      if (task.status === Status.good) return codes
      codes.push(task.sense!.asc)
    }
  }

  /** Whether a nexus may read and write: "rw", "r", "". No unit attention may be pending. */
  access(nexus: Nexus): string {
    const results = [cdb.modeSense6(0x3f, 255), own(CHANGE)].map((bytes) => outcome(this.send(nexus, bytes)))
    assert.ok(
      results.every((result) => result === "good" || result === "conflict"),
      results.join(),
    )
    return results.map((result, i) => (result === "good" ? "rw"[i] : "")).join("")
  }

  #in(nexus: Nexus, action: number, bytes = 65535): DataView {
    const data = good(this.send(nexus, cdb.persistentReserveIn(action, bytes)))
    return new DataView(data.buffer, data.byteOffset, data.length)
  }

  generation(nexus: Nexus): number {
    return this.#in(nexus, PersistentReserveIn.readKeys).getUint32(0)
  }

  readKeys(nexus: Nexus): bigint[] {
    const data = this.#in(nexus, PersistentReserveIn.readKeys)
    assert.equal(data.byteLength, 8 + data.getUint32(4))
    return Array.from({ length: data.getUint32(4) / 8 }, (_, i) => data.getBigUint64(8 + 8 * i))
  }

  /** The same, without a command. */
  keysNow(): bigint[] {
    return [...this.bench.unit.reservation.persistent.registrations.values()].map(({ key }) => key)
  }

  /** Key and type, as READ RESERVATION tells them. */
  readReservation(nexus: Nexus): { key: bigint; type: number } | undefined {
    const data = this.#in(nexus, PersistentReserveIn.readReservation)
    assert.equal(data.byteLength, 8 + data.getUint32(4))
    if (data.byteLength === 8) return undefined
    assert.equal(data.getUint8(21) >> 4, 0, "LU_SCOPE")
    return { key: data.getBigUint64(8), type: data.getUint8(21) }
  }

  fullStatus(nexus: Nexus): FullStatus[] {
    const data = this.#in(nexus, PersistentReserveIn.readFullStatus)
    assert.equal(data.byteLength, 8 + data.getUint32(4))
    const all: FullStatus[] = []
    for (let at = 8; at < data.byteLength; ) {
      const idBytes = data.getUint32(at + 20)
      const id = new Uint8Array(data.buffer, data.byteOffset + at + 24, idBytes)
      assert.equal(id[0], 0x45)
      all.push({
        key: data.getBigUint64(at),
        port: data.getUint16(at + 18),
        initiator: new TextDecoder().decode(id.subarray(4, id.indexOf(0, 4))),
        holds: (data.getUint8(at + 12) & 1) === 1 ? data.getUint8(at + 13) : 0,
      })
      at += 24 + idBytes
    }
    return all
  }

  reportCapabilities(nexus: Nexus): Uint8Array {
    return new Uint8Array(this.#in(nexus, PersistentReserveIn.reportCapabilities).buffer)
  }
}

/** A store that keeps in memory; it may fail, or wait to be told. */
export class TestStore implements ReservationStore {
  found: ReservationStore["found"]
  readonly saved: ReservationStore["found"][] = []
  /** Saving fails: before anything is done, or when all is, so that nobody can tell. */
  failing: false | "early" | "late" = false
  /** Resolves the save under way, when it is held. */
  readonly held: (() => void)[] = []
  holding = false

  constructor(found?: ReservationStore["found"]) {
    this.found = found
  }

  async save(state: Parameters<ReservationStore["save"]>[0]): Promise<void> {
    if (this.holding) await new Promise<void>((resolve) => this.held.push(resolve))
    if (this.failing === "early") throw new Error("no space left on device")
    this.saved.push(state)
    this.found = state
    if (this.failing === "late") throw new Error("input/output error")
  }
}
