import { ReportingMethod } from "../sam/informational-exceptions.ts"
import { requestSenseCommand, selfTestInProgress } from "../sam/request-sense.ts"
import { Asc, SenseKey } from "../spec/sense.ts"

/**
 * REQUEST SENSE (SPC-4 §6.39): the pending unit attention, which is over then; a self-test in the background; or NO SENSE,
 * with an informational exception where those are told on request (MRIE 6h).
 */
export const requestSense = requestSenseCommand((task, unit) => {
  const asc = unit.takeUnitAttention(task.nexus)
  if (asc !== undefined) return { key: SenseKey.unitAttention, asc, detail: {} }
  const { running } = unit.selfTests
  if (running) return selfTestInProgress(running)
  const told = unit.exceptions.method === ReportingMethod.onRequest
  const exception = told ? unit.exceptions.pending(unit.selfTests) : undefined
  return { key: SenseKey.noSense, asc: exception ?? Asc.noAdditionalSense, detail: {} }
})
