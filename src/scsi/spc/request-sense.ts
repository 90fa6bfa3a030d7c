import { ReportingMethod } from "../sam/informational-exceptions.ts"
import { requestSenseCommand, selfTestInProgress } from "../sam/request-sense.ts"
import { Asc, SenseKey } from "../spec/sense.ts"

/**
 * REQUEST SENSE (SPC-4 §6.39): why the unit can't be reached through this port; else the pending unit attention, which is
 * over then; else pollable sense data in the order of §5.11.2.2: NOT READY before NO SENSE, of which informational
 * exceptions are the first, where those are told on request (MRIE 6h). Of what is NOT READY, what keeps commands from being
 * processed comes before a self-test, which doesn't.
 */
export const requestSense = requestSenseCommand((task, unit) => {
  const { restriction } = task.nexus
  if (restriction !== undefined) return restriction.sense
  const asc = unit.takeUnitAttention(task.nexus)
  if (asc !== undefined) return { key: SenseKey.unitAttention, asc, detail: unit.unitAttentionDetail(asc) }
  const hindrance = unit.restriction?.sense
  if (hindrance) return hindrance
  const { stoppedSense } = unit
  if (stoppedSense) return stoppedSense
  const { running } = unit.selfTests
  if (running) return selfTestInProgress(running)
  const told = unit.exceptions.method === ReportingMethod.onRequest
  const exception = told ? unit.exceptions.pending(unit.selfTests) : undefined
  return { key: SenseKey.noSense, asc: exception ?? Asc.noAdditionalSense, detail: {} }
})
