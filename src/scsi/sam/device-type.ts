import type { Completion } from "../../base/completion.ts"
import type { Sense, SenseDetail, SenseError } from "../spec/sense.ts"
import type { AccessRestriction } from "./access-restriction.ts"
import type { Command } from "./command.ts"
import { type CommandTable, commandTable } from "./command-table.ts"
import type { LogPage } from "./log-page.ts"
import type { ModePage } from "./mode-page.ts"
import type { ProtectionInformation } from "./protection-information.ts"
import type { SelfTestRun } from "./self-tests.ts"
import type { Task } from "./task.ts"
import type { VpdPage } from "./vpd-page.ts"

/** What makes a logical unit one of its kind: its tables say what it knows, its hooks what it does. */
export abstract class DeviceType {
  /** PERIPHERAL DEVICE TYPE (SPC-4 §6.4.2). */
  abstract readonly peripheralDeviceType: number
  /** One array for all units of a kind: it is compiled once. */
  abstract readonly commands: readonly Command[]
  /** By rising page code. */
  abstract readonly vpdPages: readonly VpdPage[]
  /** By rising page code and subpage code. */
  abstract readonly modePages: readonly ModePage[]
  /** By rising page code and subpage code, without those that list them. */
  readonly logPages: readonly LogPage[] = []
  /** VERSION DESCRIPTORs of the standards it follows, at most eight (SPC-4 §6.4.2). */
  readonly versionDescriptors: readonly number[] = []
  /** 3PC: there is a copy manager (SPC-4 §6.6.2). */
  readonly thirdPartyCopy: boolean = false
  /** RMB: the medium can be taken out. */
  readonly removable: boolean = false
  /** Protection information there is beside the logical blocks. */
  readonly protection: ProtectionInformation | undefined = undefined
  /** NORMACA: commands may have NACA set, and get an ACA condition for it. */
  readonly normalAca: boolean = true

  /** `commands`, once compiled. */
  protected table: CommandTable | undefined

  get commandTable(): CommandTable {
    this.table ??= commandTable(this.commands)
    return this.table
  }

  /** A command that isn't in the table. */
  protected unknownCommand(task: Task): SenseError {
    return this.commandTable.unknown(task.cdb, task.nexus)
  }

  /** TEST UNIT READY: throws SenseError NOT READY and the like. */
  checkReady(): void {}

  /** In the stopped power condition (SBC-4 §4.20.4): what REQUEST SENSE tells of it (SPC-4 §5.12.7). */
  get stoppedSense(): Sense | undefined {
    return undefined
  }

  /** DEVICE-SPECIFIC PARAMETER of the mode parameter header (SBC-3 §6.5.1: WP, DPOFUA). */
  deviceSpecificParameter(): number {
    return 0
  }

  /** The block descriptor of MODE SENSE (long: LLBAA), empty where there is none. */
  modeBlockDescriptor(_long: boolean): Uint8Array {
    return new Uint8Array(0)
  }

  /** The block descriptor of a MODE SELECT; by default it must say what MODE SENSE says. Throws SenseError. */
  selectBlockDescriptor(_descriptor: Uint8Array, _long: boolean): Completion {}

  /** What sense data says of a unit attention besides its code. */
  unitAttentionDetail(_asc: number): SenseDetail {
    return {}
  }

  /** There is a volatile cache: V_SUP of VPD page 86h. */
  get volatileCache(): boolean {
    return false
  }

  /** A self-test of SEND DIAGNOSTIC. Throws SenseError: what failed. */
  selfTest(_run: SelfTestRun): Completion {}

  /** Ends what waits on the medium on behalf of a self-test; called when it is aborted. */
  protected cancelSelfTest(_run: SelfTestRun): void {}

  /** How long an extended self-test of an idle unit takes, in seconds; 0: nobody knows. */
  get extendedSelfTestSeconds(): number {
    return 0
  }

  /** Ends what waits on the medium on behalf of the task; called when it is aborted. */
  cancelMedia(_task: Task): void {}

  /** Brings mode parameters and the like back to their defaults: a logical unit reset (SAM-5 §6.3.3). */
  protected onReset(): void {}

  /** Through a port whose asymmetric access state doesn't allow everything (SPC-4 §5.16.2.4). Throws SenseError. */
  protected checkAccess(restriction: AccessRestriction, command: Command): void {
    if (!restriction.supports(command)) throw restriction.refusal()
  }
}
