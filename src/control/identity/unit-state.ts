import { join } from "node:path"
import type { BlockDevice } from "../../backstore/block-device.ts"
import { SanletError } from "../../base/errors.ts"
import type { Log } from "../../base/log.ts"
import type { UnitRecords } from "../../scsi/sam/unit-records.ts"
import type { UndoLog } from "../../scsi/sbc/undo-log.ts"
import { isTorn, rollBack } from "../../scsi/sbc/undoable-writes.ts"
import { FileUndoLog } from "./file-undo-log.ts"
import { SealedUndoLog } from "./sealed-undo-log.ts"
import type { IdentityClaim } from "./identity-store.ts"
import { claimUnitFolder, FileRecords } from "./unit-folder.ts"

/** What a served logical unit keeps beside its identity. */
export interface UnitState {
  readonly records: UnitRecords
  /** Of a device that can be written and outlives the process. */
  readonly undoLog?: UndoLog
  readonly close: () => Promise<void>
}

/**
 * Opens it below `folder`, and first undoes on the device the atomic write that was under way when sanlet went down.
 * Rejects with SanletError ERR_STATE_FOLDER, ERR_TORN_WRITE where that is to be undone but the device can't be written,
 * or BlockError.
 */
export async function openUnitState(
  folder: string,
  claim: IdentityClaim,
  device: BlockDevice,
  log: Log,
): Promise<UnitState> {
  const own = await claimUnitFolder(folder, claim)
  const records = await FileRecords.open(own)
  const { readOnly, volatile } = device.features
  const path = join(own, "undo.log")
  if (readOnly || volatile) {
    if (!volatile) await checkWhole(device, path)
    return { records, close: async () => {} }
  }
  const file = await FileUndoLog.open(path)
  const undoLog = undoLogFor(device, file)
  try {
    if (undoLog.pending !== undefined) {
      log.warn(
        { device: device.name, ...undoLog.pending },
        "undoing an atomic write that did not come to its end",
      )
    }
    await rollBack(device, undoLog)
  } catch (error) {
    await file.close()
    throw error
  }
  return { records, undoLog, close: () => file.close() }
}

/** Half of an atomic write must not be seen (SBC-4 §4.29.2), and nothing can be undone where nothing can be written. */
async function checkWhole(device: BlockDevice, path: string): Promise<void> {
  const file = await FileUndoLog.openExisting(path)
  if (file === undefined) return
  try {
    if (!(await isTorn(device, undoLogFor(device, file)))) return
    throw new SanletError(
      "ERR_TORN_WRITE",
      `${device.name} holds half of an atomic write, and can't be written to undo it: serve it writable once`,
    )
  } finally {
    await file.close()
  }
}

/** What is kept of an encrypted device is encrypted, too. */
const undoLogFor = (device: BlockDevice, file: UndoLog): UndoLog =>
  device.encryption ? new SealedUndoLog(file, device.encryption) : file
