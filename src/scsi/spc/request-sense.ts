import { requestSenseCommand } from "../sam/request-sense.ts"
import { Asc, SenseKey } from "../spec/sense.ts"

/**
 * REQUEST SENSE (SPC-4 §6.39): why the unit can't be reached through this port; else the pending unit attention, which is
 * over then, or NO SENSE.
 */
export const requestSense = requestSenseCommand((task, unit) => {
  const { restriction } = task.nexus
  if (restriction !== undefined) return restriction.sense
  const asc = unit.takeUnitAttention(task.nexus)
  return asc === undefined
    ? { key: SenseKey.noSense, asc: Asc.noAdditionalSense, detail: {} }
    : { key: SenseKey.unitAttention, asc, detail: {} }
})
