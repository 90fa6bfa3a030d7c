import type { Completion } from "../../../base/completion.ts"
import { u32 } from "../../cdb/fields.ts"
import { invalidFieldInCdb } from "../../sam/field-error.ts"
import { receiveParameterList } from "../../sam/parameter-data.ts"
import type { Task } from "../../sam/task.ts"
import { ThirdPartyCopyOut } from "../../spec/operation-code.ts"
import type { DiskUnit } from "../disk-unit.ts"
import { clearedByDeviceServer } from "./copy-manager.ts"
import { copySegments } from "./copy-segment.ts"
import { COPY_PARAMETERS_BYTES_MAX, type CopyParameters, parseLid1, parseLid4 } from "./parameter-list.ts"

/** EXTENDED COPY (LID1) and (LID4) (SPC-4 §6.5, §6.4). A parameter list of no bytes does nothing. */
const extendedCopy =
  (serviceAction: number, parse: (list: Uint8Array) => CopyParameters) =>
  async (task: Task, unit: DiskUnit): Promise<void> => {
    const bytes = u32(task.cdb, 10)
    if (bytes === 0) return
    const parameters = parse(await receiveParameterList(task, bytes, COPY_PARAMETERS_BYTES_MAX))
    const { listId, immediate } = parameters
    await unit.copies.originate(task, { serviceAction, listId, immediate }, (operation) =>
      copySegments(operation, unit, parameters),
    )
  }

export const extendedCopyLid1 = extendedCopy(ThirdPartyCopyOut.extendedCopyLid1, parseLid1)
export const extendedCopyLid4 = extendedCopy(ThirdPartyCopyOut.extendedCopyLid4, parseLid4)

/** COPY OPERATION ABORT (SPC-4 §6.3, §5.17.4.7): ends when nothing of the operation runs any more. */
export function copyOperationAbort(task: Task, unit: DiskUnit): Completion {
  const operation = unit.copies.find(task.nexus, u32(task.cdb, 2))
  if (operation === undefined || operation.outcome !== undefined) {
    throw invalidFieldInCdb("there is no copy operation with this list identifier under way", 2)
  }
  return operation.abort(clearedByDeviceServer())
}
