import type { Clock } from "../../base/clock.ts"
import type { Completion } from "../../base/completion.ts"
import { SELF_TEST_RESULTS_MAX } from "../../base/limits.ts"
import { Asc, type Sense, SenseError, SenseKey } from "../spec/sense.ts"

/** SELF-TEST CODE of SEND DIAGNOSTIC (SPC-4 §6.42). */
export const SelfTestCode = {
  default: 0,
  backgroundShort: 1,
  backgroundExtended: 2,
  abortBackground: 4,
  foregroundShort: 5,
  foregroundExtended: 6,
} as const
export type SelfTestCode = (typeof SelfTestCode)[keyof typeof SelfTestCode]

/** SELF-TEST RESULTS of log page 10h (SPC-4 §7.3). */
export const SelfTestResult = {
  passed: 0x0,
  abortedByCommand: 0x1,
  abortedOtherwise: 0x2,
  unknownError: 0x3,
  failed: 0x4,
  inProgress: 0xf,
} as const
export type SelfTestResult = (typeof SelfTestResult)[keyof typeof SelfTestResult]

/** What became of a self-test. */
export interface SelfTestRecord {
  readonly code: SelfTestCode
  result: SelfTestResult
  /** Hours since the unit is there when the test ended, begun ones included; 0 while it runs. */
  hours: number
  /** Why it failed. */
  sense: Sense | undefined
}

/** A self-test under way. It names itself to the block device, as a task does. */
export class SelfTestRun {
  readonly extended: boolean
  readonly clock: Clock | undefined
  /** It is to end as soon as it can; what becomes of it nobody asks. */
  aborted = false
  /** How far it has come: 0 to 1. */
  progress = 0

  constructor(extended: boolean, clock: Clock | undefined) {
    this.extended = extended
    this.clock = clock
  }
}

const MS_PER_HOUR = 3_600_000

/** What self-tests need of their logical unit. */
export interface SelfTestsUser {
  /** One in the background has failed. */
  failed(): void
  /** Ends what waits on the medium on behalf of one that was aborted. */
  cancel(run: SelfTestRun): void
}

interface Going {
  readonly run: SelfTestRun
  readonly record: SelfTestRecord
}

/** The self-tests of a logical unit: those that go on, and what became of the last ones. */
export class SelfTests {
  /** Set when the unit is added to a target: its hours are counted from then on. */
  #clock: Clock | undefined
  #sinceMs = 0
  /** The newest first. */
  readonly records: SelfTestRecord[] = []
  #background: Going | undefined
  /** By what waits for the end. */
  readonly #foreground = new Map<object, Going>()

  readonly #user: SelfTestsUser

  constructor(user: SelfTestsUser) {
    this.#user = user
  }

  startClock(clock: Clock): void {
    if (this.#clock !== undefined) return
    this.#clock = clock
    this.#sinceMs = clock.nowMs()
  }

  /** The test in the background. */
  get running(): SelfTestRun | undefined {
    return this.#background?.run
  }

  /**
   * Runs a test whose end the command waits for. Throws and rejects with SenseError HARDWARE ERROR when it fails. The result is
   * there before the command ends (SPC-4 table 106).
   */
  async inForeground(
    task: object,
    code: SelfTestCode,
    test: (run: SelfTestRun) => Completion,
  ): Promise<void> {
    const run = new SelfTestRun(code === SelfTestCode.foregroundExtended, this.#clock)
    const record = this.#record(code)
    this.#foreground.set(task, { run, record })
    try {
      await test(run)
      if (!run.aborted) this.#end(record, SelfTestResult.passed)
    } catch (error) {
      if (run.aborted) return
      this.#failed(record, error)
      throw error instanceof SenseError ? failedSelfTest(error) : error
    } finally {
      this.#foreground.delete(task)
    }
  }

  /** Begins a test that goes on after the command has ended. */
  inBackground(code: SelfTestCode, test: (run: SelfTestRun) => Completion): void {
    const run = new SelfTestRun(code === SelfTestCode.backgroundExtended, this.#clock)
    const record = this.#record(code)
    this.#background = { run, record }
    const ended = async (): Promise<void> => test(run)
    void ended()
      .then(
        () => run.aborted || this.#end(record, SelfTestResult.passed),
        (error: unknown) => {
          if (run.aborted) return
          this.#failed(record, error)
          this.#user.failed()
        },
      )
      .finally(() => {
        if (this.#background?.run === run) this.#background = undefined
      })
  }

  /** Forgets those that have ended. */
  forget(): void {
    const going = this.records.filter(({ result }) => result === SelfTestResult.inProgress)
    this.records.splice(0, this.records.length, ...going)
  }

  /** Ends the test in the background. False: there is none. */
  abort(result: SelfTestResult): boolean {
    const going = this.#background
    this.#background = undefined
    if (going) this.#abort(going, result)
    return going !== undefined
  }

  /** Ends the test that this command waits for, if there is one. */
  abortOf(task: object): void {
    const going = this.#foreground.get(task)
    if (going) this.#abort(going, SelfTestResult.abortedOtherwise)
  }

  #abort({ run, record }: Going, result: SelfTestResult): void {
    run.aborted = true
    this.#end(record, result)
    this.#user.cancel(run)
  }

  #record(code: SelfTestCode): SelfTestRecord {
    const record = { code, result: SelfTestResult.inProgress, hours: 0, sense: undefined }
    this.records.unshift(record)
    if (this.records.length > SELF_TEST_RESULTS_MAX) this.records.pop()
    return record
  }

  #failed(record: SelfTestRecord, error: unknown): void {
    if (error instanceof SenseError) {
      record.sense = error
      this.#end(record, SelfTestResult.failed)
    } else {
      this.#end(record, SelfTestResult.unknownError)
    }
  }

  #end(record: SelfTestRecord, result: SelfTestResult): void {
    record.result = result
    record.hours = this.#hours()
  }

  /** Never 0: sg3_utils and smartmontools take a test that passed with code 000b in hour 0 for the end of the list. */
  #hours(): number {
    const passedMs = this.#clock ? this.#clock.nowMs() - this.#sinceMs : 0
    return Math.floor(passedMs / MS_PER_HOUR) + 1
  }
}

const failedSelfTest = ({ message }: SenseError): SenseError =>
  new SenseError(SenseKey.hardwareError, Asc.logicalUnitFailedSelfTest, `the self-test failed: ${message}`)
