import type { Clock } from "../base/clock.ts"
import { EXCHANGE_DEADLINE_MS, LOST_COMMAND_GRACE_MS } from "../base/limits.ts"
import type { LogFields } from "../base/log.ts"
import {
  TaskManagementFunction,
  TaskManagementResponseCode,
  taskManagementResponseName,
} from "../iscsi/spec/index.ts"
import { Status } from "../scsi/spec/status.ts"
import { serialBefore } from "../wire/serial.ts"
import type { Command, ScsiResult } from "./command.ts"
import type { InitiatorConnection } from "./connection.ts"
import { ConnectionError, OutcomeUnknownError } from "./errors.ts"
import { manageTask } from "./exchanges.ts"

/** How a command has ended that the target has forgotten. */
const taskAborted: ScsiResult = {
  status: Status.taskAborted,
  dataInBytes: 0,
  dataOutBytes: 0,
  overflowBytes: 0,
}

/** Ends commands the target has, by ABORT TASK: those somebody wants to end, and those it may have forgotten. */
export class Aborts {
  readonly #clock: Clock
  readonly #warn: (details: LogFields, message: string) => void
  /** A command has ended. */
  readonly #ended: () => void

  constructor(clock: Clock, warn: (details: LogFields, message: string) => void, ended: () => void) {
    this.#clock = clock
    this.#warn = warn
    this.#ended = ended
  }

  /** Its end is its abortReason; without one, what may be repeated counts as aborted, and of others nothing is known. */
  async abortTask(connection: InitiatorConnection, command: Command): Promise<void> {
    const { lun } = command.request
    let response: number
    try {
      response = await manageTask(connection, this.#clock, TaskManagementFunction.abortTask, lun, command)
    } catch (error) {
      // Mostly the connection has gone, and the command with it.
      return this.#refused(connection, command, (error as Error).message)
    }
    const gone =
      response === TaskManagementResponseCode.functionComplete ||
      response === TaskManagementResponseCode.taskDoesNotExist
    if (!gone) return this.#refused(connection, command, taskManagementResponseName(response))
    if (command.settled || connection.over) return
    connection.forget(command)
    if (command.abortReason || command.replay) command.settle(taskAborted)
    else command.settle(undefined, new OutcomeUnknownError(command.title))
    this.#ended()
  }

  /** The target won't abort: then the command has to end by itself, in a while. */
  #refused(connection: InitiatorConnection, command: Command, response: string): void {
    if (command.settled || connection.over) return
    this.#warn({ response }, "ABORT TASK failed")
    const { tag } = command
    command.timer?.cancel()
    command.timer = this.#clock.after(EXCHANGE_DEADLINE_MS, "refused abort", () => {
      if (command.settled || command.tag !== tag) return
      connection.fail(new ConnectionError(`${command.title}: neither aborted nor answered`))
    })
  }

  /**
   * A unit attention on `after` tells of a reset, which may have ended commands sent before it without a word (TAS=0,
   * SPC-4 §7.5.8). Those that aren't answered soon are aborted, and so found out about.
   */
  commandsMayBeLost(connection: InitiatorConnection, after: Command): void {
    const { lun } = after.request
    const older = [...connection.commands.values()].filter(
      (command) => command.request.lun === lun && serialBefore(command.cmdSn, after.cmdSn),
    )
    if (older.length === 0) return
    const tags = older.map(({ tag }) => tag)
    this.#clock.after(LOST_COMMAND_GRACE_MS, "commands lost by a reset", () => {
      older.forEach((command, i) => {
        if (command.settled || command.state !== "sent" || command.tag !== tags[i]) return
        command.state = "aborting"
        void this.abortTask(connection, command)
      })
    })
  }
}
