/** A served disk with all it keeps, below a file system that forgets: what a start of the server makes of a file. */
import { FileStore } from "../../../src/backstore/index.ts"
import { systemClock } from "../../../src/base/clock.ts"
import { silentLog } from "../../../src/base/log.ts"
import { type IdentityClaim, IdentityStore } from "../../../src/control/identity/identity-store.ts"
import { openUnitState } from "../../../src/control/identity/unit-state.ts"
import { ReservationFile } from "../../../src/control/reservations/reservation-file.ts"
import { DiskUnit } from "../../../src/scsi/sbc/disk-unit.ts"
import { senseText } from "../../../src/scsi/spec/sense-text.ts"
import { Status } from "../../../src/scsi/spec/status.ts"
import { crashCalls } from "../../suites/crash/system.ts"
import { TestTask, testNexus } from "../../suites/scsi-task.ts"

const IMAGE = "/crash/disk.img"
const STATE = "/crash/state"
export const BLOCKS = 32
export const BLOCK_BYTES = 512

export interface CrashDisk {
  readonly unit: DiskUnit
  readonly run: (cdb: Uint8Array, dataOut?: Uint8Array) => Promise<TestTask>
  /** Rejects unless the status is GOOD. Gives the Data-In. */
  readonly good: (cdb: Uint8Array, dataOut?: Uint8Array) => Promise<Uint8Array>
  /** The process goes on without it. */
  readonly close: () => Promise<void>
}

export async function serveDisk(): Promise<CrashDisk> {
  const size = { create: true, sizeBytes: BLOCKS * BLOCK_BYTES }
  const device = await FileStore.open(IMAGE, { ...size, system: crashCalls })
  const claim = await new IdentityStore(`${STATE}/identities`).claim({ file: IMAGE })
  try {
    return { ...(await unitOf(device, claim)), close: claim.release }
  } catch (error) {
    await claim.release()
    throw error
  }
}

async function unitOf(device: FileStore, claim: IdentityClaim): Promise<Omit<CrashDisk, "close">> {
  const reservationStore = await ReservationFile.open(`${STATE}/reservations`, claim.naa)
  const { records, undoLog } = await openUnitState(`${STATE}/units`, claim, device, silentLog)
  const unit = new DiskUnit(device, {
    identity: claim,
    reservationStore,
    records,
    ...(undoLog && { undoLog }),
    clock: systemClock,
  })
  const nexus = testNexus()
  unit.attachNexus(nexus)
  while (unit.takeUnitAttention(nexus) !== undefined);
  const run = (cdb: Uint8Array, dataOut: Uint8Array = new Uint8Array(0)) => {
    const task = new TestTask(nexus, cdb, { dataOut })
    unit.commandReceived(task)
    return task.ended
  }
  const good = async (cdb: Uint8Array, dataOut?: Uint8Array) => {
    const { status, sense, dataIn } = await run(cdb, dataOut)
    if (status !== Status.good) throw new Error(sense ? senseText(sense) : `status ${status}`)
    return dataIn
  }
  return { unit, run, good }
}

/** "old" or "new" by the byte all of it is filled with; "both" where it isn't one. */
export function whichOf(content: Uint8Array, [old, fresh]: readonly [number, number]): string {
  if (content.every((byte) => byte === old)) return "old"
  return content.every((byte) => byte === fresh) ? "new" : "both"
}
