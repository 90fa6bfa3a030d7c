import type { SenseFormat } from "../spec/sense.ts"

/** QERR (SPC-4 §7.5.8): what becomes of other tasks of the set when one ends with CHECK CONDITION. */
export const QueueErrorManagement = { goOn: 0, abortAll: 1, abortOwn: 3 } as const
export type QueueErrorManagement = (typeof QueueErrorManagement)[keyof typeof QueueErrorManagement]

/** UA_INTLCK_CTRL (SPC-4 §7.5.8): when a unit attention condition that was reported is over. */
export const UnitAttentionInterlock = { reported: 0, requested: 2, requestedWithStatus: 3 } as const
export type UnitAttentionInterlock = (typeof UnitAttentionInterlock)[keyof typeof UnitAttentionInterlock]

/** What the control mode page and its extension set (SPC-4 §7.5.8, §7.5.9). A new one has the defaults. */
export class Control {
  /** TST 001b: each I_T nexus has a task set of its own. */
  separateTaskSets = false
  /** TMF_ONLY: during an ACA condition even tasks with the ACA attribute are refused. */
  managementOnly = false
  /** D_SENSE: sense data comes in descriptor format. */
  descriptorSense = false
  /** RLEC: log parameters that meet their thresholds are told of. */
  reportLogExceptions = false
  /** QUEUE ALGORITHM MODIFIER 0: SIMPLE tasks of one nexus keep their order. */
  restrictedReordering = false
  queueErrorManagement: QueueErrorManagement = QueueErrorManagement.goOn
  unitAttentionInterlock: UnitAttentionInterlock = UnitAttentionInterlock.reported
  /** SWP: the medium is write protected by software. */
  softwareWriteProtect = false
  /** ATO: the application tags of protection information are the initiators' (SBC-3 §4.22.2). */
  applicationTagOwner = false
  /** TAS: tasks aborted by another nexus end with TASK ABORTED. */
  taskAbortedStatus = false
  /** MAXIMUM SENSE DATA LENGTH: as much sense data comes with a status; 0: all there is. */
  senseBytesMax = 0

  get senseFormat(): SenseFormat {
    return this.descriptorSense ? "descriptor" : "fixed"
  }

  reset(): void {
    Object.assign(this, new Control())
  }
}
