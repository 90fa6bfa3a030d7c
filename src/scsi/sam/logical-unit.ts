import type { Command } from "./command.ts"

/** A logical unit: its task set, its state per nexus, its command table. (Being built: see sam/.) */
export abstract class LogicalUnit {
  abstract readonly commands: readonly Command[]
}
