import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import type { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import type { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { TestTask, type TestTaskOptions, testNexus } from "../../../suites/scsi-task.ts"

/** A unit of a target with some initiators, none of which has a unit attention pending. */
export interface DriveBench {
  readonly unit: DiskUnit
  readonly target: ScsiTarget
  readonly clock: VirtualClock
  readonly nexuses: readonly [Nexus, Nexus, Nexus]
  readonly send: (nexus: Nexus, cdb: readonly number[], options?: TestTaskOptions) => TestTask
  readonly run: (nexus: Nexus, cdb: readonly number[], options?: TestTaskOptions) => Promise<TestTask>
}

export function driveBench(makeUnit: (clock: VirtualClock) => DiskUnit): DriveBench {
  const clock = new VirtualClock()
  const unit = makeUnit(clock)
  const target = new ScsiTarget({ clock })
  target.addLogicalUnit(0, unit)
  const attached = (host: string): Nexus => {
    const nexus = testNexus(host)
    target.attachNexus(nexus)
    unit.takeUnitAttention(nexus)
    return nexus
  }
  const send: DriveBench["send"] = (nexus, cdb, options) => {
    const task = new TestTask(nexus, Uint8Array.from(cdb), options)
    target.commandReceived(task)
    return task
  }
  return {
    unit,
    target,
    clock,
    nexuses: [attached("a"), attached("b"), attached("c")],
    send,
    run: (nexus, cdb, options) => send(nexus, cdb, options).ended,
  }
}

export const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
export const EJECT = [0x1b, 0, 0, 0, 0x02, 0]
export const LOAD = [0x1b, 0, 0, 0, 0x03, 0]
export const PREVENT = [0x1e, 0, 0, 0, 1, 0]
export const ALLOW = [0x1e, 0, 0, 0, 0, 0]
