import { requestSenseCommand } from "../sam/request-sense.ts"
import { Asc, SenseKey } from "../spec/sense.ts"

/** REQUEST SENSE (SPC-4 §6.39): the pending unit attention, which is over then; else pollable sense data, or NO SENSE. */
export const requestSense = requestSenseCommand((task, unit) => {
  const asc = unit.takeUnitAttention(task.nexus)
  if (asc !== undefined) return { key: SenseKey.unitAttention, asc, detail: unit.unitAttentionDetail(asc) }
  return unit.restriction?.sense ?? { key: SenseKey.noSense, asc: Asc.noAdditionalSense, detail: {} }
})
