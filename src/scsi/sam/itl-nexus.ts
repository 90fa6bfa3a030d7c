import type { Nexus } from "./nexus.ts"
import type { Task } from "./task.ts"
import type { TaskSet } from "./task-set.ts"
import { UnitAttentions } from "./unit-attention.ts"

/** An I_T_L nexus (SAM-5 §4.8): what a logical unit keeps for an I_T nexus. */
export class ItlNexus {
  readonly nexus: Nexus
  readonly attentions = new UnitAttentions()
  /** By tag: those queued, and those whose execution goes on after it has returned. */
  readonly tasks = new Map<number, Task>()

  /** The set its new tasks go to: the unit's, or one of its own (TST of the control mode page). */
  set: TaskSet

  constructor(nexus: Nexus, set: TaskSet) {
    this.nexus = nexus
    this.set = set
  }
}
