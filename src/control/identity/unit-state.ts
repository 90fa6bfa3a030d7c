import { join } from "node:path"
import type { BlockDevice } from "../../backstore/block-device.ts"
import type { Log } from "../../base/log.ts"
import type { UnitRecords } from "../../scsi/sam/unit-records.ts"
import type { UndoLog } from "../../scsi/sbc/undo-log.ts"
import { rollBack } from "../../scsi/sbc/undoable-writes.ts"
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
 * Rejects with SanletError ERR_STATE_FOLDER or BlockError.
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
  if (readOnly || volatile) return { records, close: async () => {} }
  const file = await FileUndoLog.open(join(own, "undo.log"))
  const undoLog = device.encryption ? new SealedUndoLog(file, device.encryption) : file
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
