import type { SenseFormat } from "../spec/sense.ts"

/** What the control mode page sets (SPC-4 §7.5.8), with its defaults. */
export class Control {
  /** D_SENSE: sense data comes in descriptor format. */
  descriptorSense = false
  /** TAS: tasks aborted by another nexus end with TASK ABORTED. */
  taskAbortedStatus = false
  /** SWP: the medium is write protected by software. */
  softwareWriteProtect = false

  get senseFormat(): SenseFormat {
    return this.descriptorSense ? "descriptor" : "fixed"
  }

  reset(): void {
    this.descriptorSense = false
    this.taskAbortedStatus = false
    this.softwareWriteProtect = false
  }
}
