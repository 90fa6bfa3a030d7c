import type { SenseFormat } from "../spec/sense.ts"

/** What the control mode page sets (SPC-4 §7.5.8), with its defaults. */
export class Control {
  /** D_SENSE: sense data comes in descriptor format. */
  descriptorSense = false
  /** TAS: tasks aborted by another nexus end with TASK ABORTED. */
  taskAbortedStatus = false
  /** SWP: the medium is write protected by software. */
  softwareWriteProtect = false
  /** ATO: the application tags of protection information are the initiators' (SBC-3 §4.22.2). */
  applicationTagOwner = false

  get senseFormat(): SenseFormat {
    return this.descriptorSense ? "descriptor" : "fixed"
  }

  reset(): void {
    this.descriptorSense = false
    this.taskAbortedStatus = false
    this.softwareWriteProtect = false
    this.applicationTagOwner = false
  }
}
