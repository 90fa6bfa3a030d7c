import type { Completion } from "../../../src/base/completion.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"
import type { Command } from "../../../src/scsi/sam/command.ts"
import type { LogicalUnitIdentity } from "../../../src/scsi/sam/identity.ts"
import { LogicalUnit } from "../../../src/scsi/sam/logical-unit.ts"
import type { ModePage } from "../../../src/scsi/sam/mode-page.ts"
import type { Nexus } from "../../../src/scsi/sam/nexus.ts"
import { ScsiTarget } from "../../../src/scsi/sam/scsi-target.ts"
import type { Task } from "../../../src/scsi/sam/task.ts"
import { spcCommands, spcLogPages, spcModePages, spcVpdPages } from "../../../src/scsi/spc/index.ts"
import { Asc, SenseError, SenseKey } from "../../../src/scsi/spec/sense.ts"
import { TestTask, type TestTaskOptions, testNexus } from "../../suites/scsi-task.ts"

/** Vendor-specific operation codes of the test unit. */
export const HOLD = 0xc0
export const FAIL = 0xc1
export const BREAK = 0xc2
export const TAKE = 0xc3
/** Changes the medium at once. */
export const CHANGE = 0xc4

interface Held {
  readonly task: Task
  readonly finish: () => void
  readonly fail: (error: Error) => void
}

const row = (
  name: string,
  opcode: number,
  execute: (task: Task, unit: TestUnit) => Completion,
): Command<TestUnit> => ({
  name,
  opcode,
  usage: [opcode, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0],
  access: "write",
  execute,
})

const commands: readonly Command<TestUnit>[] = [
  ...spcCommands,
  row("HOLD", HOLD, (task, unit) => unit.hold(task)),
  row("FAIL", FAIL, () => {
    throw new SenseError(SenseKey.mediumError, Asc.unrecoveredReadError, "as told", { information: 7 })
  }),
  row("BREAK", BREAK, () => {
    throw new TypeError("a bug")
  }),
  row("TAKE", TAKE, async (task) => {
    const buffer = await task.receiveDataOut(0, task.dataOutBytesMax)
    buffer.release()
  }),
  row("CHANGE", CHANGE, () => {}),
]

const WIDGET_BYTES = 4

/** A page with a subpage, of which one byte can be changed. */
const widgetPage: ModePage<TestUnit> = {
  code: 0x2a,
  subpage: 0x05,
  bytes: WIDGET_BYTES,
  current: (unit) => Uint8Array.of(0x11, unit.widget, 0, 0),
  defaults: () => Uint8Array.of(0x11, 0x22, 0, 0),
  changeable: () => Uint8Array.of(0, 0xff, 0, 0),
  select: (unit, page) => {
    unit.widget = page[1]!
  },
}

const identity: LogicalUnitIdentity = {
  vendor: "ACME",
  product: "test unit",
  revision: "1.0",
  serial: "S-0001",
  designators: [
    { association: 0, type: 3, codeSet: 1, bytes: Uint8Array.of(0x31, 2, 3, 4, 5, 6, 7, 8) },
    { association: 0, type: 1, codeSet: 2, bytes: new TextEncoder().encode("ACME    test") },
  ],
}

/** A logical unit whose HOLD command lasts until it is told to end. */
export class TestUnit extends LogicalUnit {
  readonly peripheralDeviceType = 0x00
  readonly commands = commands
  readonly vpdPages = spcVpdPages
  override readonly logPages = spcLogPages
  readonly modePages: readonly ModePage<TestUnit>[] = [...spcModePages, widgetPage]
  override readonly versionDescriptors = [0x00a0, 0x0460]
  widget = 0x22
  ready = true
  testsRun = 0
  resets = 0
  readonly held: Held[] = []
  readonly cancelled: Task[] = []

  constructor() {
    super(identity)
  }

  hold(task: Task): Promise<void> {
    return new Promise((resolve, reject) => {
      const take = (end: () => void) => () => {
        this.held.splice(
          this.held.findIndex((held) => held.task === task),
          1,
        )
        end()
      }
      this.held.push({ task, finish: take(resolve), fail: (error) => take(() => reject(error))() })
    })
  }

  /** Ends the HOLD of a task. */
  finish(task: Task): void {
    this.held.find((held) => held.task === task)?.finish()
  }

  override checkReady(): void {
    if (!this.ready) throw new SenseError(SenseKey.notReady, Asc.mediumNotPresent, "as told")
  }

  override selfTest(): Completion {
    this.testsRun++
  }

  override cancelMedia(task: Task): void {
    this.cancelled.push(task)
  }

  protected override onReset(): void {
    this.resets++
    this.widget = 0x22
  }
}

interface SendOptions extends TestTaskOptions {
  readonly nexus?: Nexus
}

export interface Bench {
  readonly clock: VirtualClock
  readonly target: ScsiTarget
  readonly unit: TestUnit
  readonly nexus: Nexus
  /** Sends a command and gives its task, which may have ended already. */
  readonly send: (cdb: Uint8Array | readonly number[], options?: SendOptions) => TestTask
  /** The same, once it has ended. */
  readonly run: (cdb: Uint8Array | readonly number[], options?: SendOptions) => Promise<TestTask>
  /** A second nexus without a pending unit attention. */
  readonly another: (host: string) => Nexus
}

/** A target with a test unit as LUN 0, and a nexus that has had its POWER ON. */
export function makeBench(): Bench {
  const clock = new VirtualClock()
  const target = new ScsiTarget({ clock })
  const unit = new TestUnit()
  target.addLogicalUnit(0, unit)
  const another = (host: string): Nexus => {
    const nexus = testNexus(host)
    target.attachNexus(nexus)
    unit.takeUnitAttention(nexus)
    return nexus
  }
  const nexus = another("host")
  const send: Bench["send"] = (cdb, options = {}) => {
    const task = new TestTask(options.nexus ?? nexus, Uint8Array.from(cdb), options)
    target.commandReceived(task)
    return task
  }
  return { clock, target, unit, nexus, send, run: (cdb, options) => send(cdb, options).ended, another }
}

/** A CDB of one of the test unit's own commands. */
export const own = (opcode: number, ...bytes: number[]): number[] => [
  opcode,
  ...bytes,
  ...new Array<number>(9 - bytes.length).fill(0),
]
