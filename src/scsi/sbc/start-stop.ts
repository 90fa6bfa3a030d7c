import type { Completion } from "../../base/completion.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { SelfTestResult } from "../sam/self-tests.ts"
import type { Task } from "../sam/task.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { DiskUnit } from "./disk-unit.ts"

const IMMED = 0x01
const NO_FLUSH = 0x04
const LOEJ = 0x02
const START = 0x01

/** POWER CONDITION. */
const PowerCondition = { startValid: 0, active: 1, idle: 2, standby: 3, luControl: 7 } as const

/**
 * START STOP UNIT (SBC-3 §5.25). A stopped unit answers media commands with NOT READY until it is started. Idle and
 * standby are entered and left again by the next command that wants the medium, so they leave no trace. LOEJ takes the
 * medium of a removable unit out, or puts it in again; other units have no tray.
 */
export function startStopUnit(task: Task, unit: DiskUnit): Completion {
  const { cdb } = task
  const condition = cdb[4]! >> 4
  const modifier = cdb[3]! & 0x0f
  if (modifier !== 0) throw invalidFieldInCdb("no POWER CONDITION MODIFIER is known", 3, 3)
  const flush = (cdb[4]! & NO_FLUSH) === 0
  unit.abortSelfTest(SelfTestResult.abortedOtherwise) // SPC-4 table 105
  switch (condition) {
    case PowerCondition.startValid:
      if ((cdb[4]! & LOEJ) !== 0) return loadOrEject(task, unit, (cdb[4]! & START) !== 0)
      return (cdb[4]! & START) === 0 ? stop(task, unit, flush) : start(unit)
    case PowerCondition.active:
    case PowerCondition.idle:
    case PowerCondition.luControl:
      return start(unit)
    case PowerCondition.standby:
      start(unit)
      return flush ? unit.medium.flush(task) : undefined
    default:
      throw invalidFieldInCdb(`POWER CONDITION ${condition} is not known`, 4, 7)
  }
}

function start(unit: DiskUnit): void {
  unit.stopped = false
  unit.checkReady() // the medium may be out
}

/** Refused while an initiator prevents it (SPC-4 §6.18), loading too. The cache is written back before it goes out. */
function loadOrEject(task: Task, unit: DiskUnit, load: boolean): Completion {
  if (!unit.removable) throw invalidFieldInCdb("the medium can't be ejected or loaded", 4, 1)
  if (unit.preventingRemoval.size > 0) {
    throw new SenseError(
      SenseKey.illegalRequest,
      Asc.mediumRemovalPrevented,
      "an initiator prevents that the medium is removed",
    )
  }
  if (load) return unit.load(task.nexus)
  return eject(task, unit)
}

async function eject(task: Task, unit: DiskUnit): Promise<void> {
  if (unit.ejected) return
  await unit.medium.flush(task)
  unit.ejected = true
}

/** Stops at once, with IMMED as without: what takes time is writing the cache back, which comes first. */
async function stop(task: Task, unit: DiskUnit, flush: boolean): Promise<void> {
  if (flush) await unit.medium.flush(task)
  if (!unit.stopped) unit.counters.stops++
  unit.stopped = true
}

export const StartStopUsage = { byte1: IMMED, byte3: 0x0f, byte4: 0xf0 | NO_FLUSH | LOEJ | START } as const
