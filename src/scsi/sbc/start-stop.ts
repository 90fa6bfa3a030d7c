import type { Completion } from "../../base/completion.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { SelfTestResult } from "../sam/self-tests.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"

const IMMED = 0x01
const NO_FLUSH = 0x04
const LOEJ = 0x02
const START = 0x01

/** POWER CONDITION. */
const PowerCondition = { startValid: 0, active: 1, idle: 2, standby: 3, luControl: 7 } as const

/**
 * START STOP UNIT (SBC-3 §5.25). A stopped unit answers media commands with NOT READY until it is started. Idle and
 * standby are entered and left again by the next command that wants the medium, so they leave no trace. LOEJ opens and
 * closes the tray of a removable unit; elsewhere there is none, and it is refused.
 */
export function startStopUnit(task: Task, unit: DiskUnit): Completion {
  const { cdb } = task
  const condition = cdb[4]! >> 4
  const modifier = cdb[3]! & 0x0f
  if (modifier !== 0) throw invalidFieldInCdb("no POWER CONDITION MODIFIER is known", 3, 3)
  const flush = (cdb[4]! & NO_FLUSH) === 0
  unit.selfTests.abort(SelfTestResult.abortedOtherwise) // SPC-4 table 105
  switch (condition) {
    case PowerCondition.startValid:
      if ((cdb[4]! & LOEJ) !== 0) return moveTray(task, unit)
      if ((cdb[4]! & START) === 0) return stop(task, unit, flush)
      return unit.start()
    case PowerCondition.active:
    case PowerCondition.idle:
    case PowerCondition.luControl:
      return leaveStopped(unit)
    case PowerCondition.standby:
      leaveStopped(unit)
      return flush ? unit.medium.flush(task) : undefined
    default:
      // As drives do, and libiscsi's suite wants of them (StartStopUnit.PwrCnd), in spite of SPC-4's "reserved".
      if (unit.tray !== undefined) return
      throw invalidFieldInCdb(`POWER CONDITION ${condition} is not known`, 4, 7)
  }
}

/**
 * Stops at once, with IMMED as without: what takes time is writing the cache back, which comes first. A removable unit
 * is started again by whoever wants the medium, so it stays ready: nobody sends START to a CD-ROM drive that a
 * desktop has stopped, and libiscsi's suite wants it of disks, too (StartStopUnit.NoLoej).
 */
async function stop(task: Task, unit: DiskUnit, flush: boolean): Promise<void> {
  if (flush) await unit.medium.flush(task)
  if (unit.tray !== undefined) return
  if (!unit.stopped) unit.counters.stops++
  unit.stopped = true
}

/** A power condition changes nothing about where the medium is. */
function leaveStopped(unit: DiskUnit): void {
  if (unit.tray?.loaded !== false) unit.stopped = false
}

function moveTray(task: Task, { tray }: DiskUnit): Completion {
  if (tray === undefined) throw invalidFieldInCdb("the medium can't be ejected or loaded", 4, 1)
  return (task.cdb[4]! & START) === 0 ? tray.unload() : tray.loadFor(task.nexus)
}

export const StartStopUsage = { byte1: IMMED, byte3: 0x0f, byte4: 0xf0 | NO_FLUSH | LOEJ | START } as const
