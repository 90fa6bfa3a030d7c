import { Asc } from "../spec/sense.ts"
import { SelfTestCode, type SelfTestRecord, SelfTestResult, type SelfTests } from "./self-tests.ts"

/** MRIE: how informational exceptions are reported (SPC-4 §7.5.11). */
export const ReportingMethod = { none: 0, unitAttention: 2, onRequest: 6 } as const
export type ReportingMethod = (typeof ReportingMethod)[keyof typeof ReportingMethod]

/**
 * What the informational exceptions control mode page sets (SPC-4 §7.5.11). A new one has the defaults: whoever asks is
 * told (REQUEST SENSE, log page 2Fh), nobody else.
 */
export class InformationalExceptions {
  /** DEXCPT: failure predictions are off. There are none but the false one. */
  disabled = false
  /** EBACKERR: what a self-test in the background finds is one. */
  backgroundErrors = true
  /** TEST: there is a false one. */
  test = false
  method: ReportingMethod = ReportingMethod.onRequest
  /** The self-test whose failure counts no longer, since the log page was reset. */
  #dismissed: SelfTestRecord | undefined

  reset(): void {
    Object.assign(this, new InformationalExceptions())
  }

  /** The additional sense code of the one that is pending; undefined: there is none. */
  pending(selfTests: SelfTests): number | undefined {
    if (this.test) return Asc.failurePredictionThresholdExceededFalse
    const last = lastInBackground(selfTests)
    const failed = last?.result === SelfTestResult.failed && last !== this.#dismissed
    return this.backgroundErrors && failed ? Asc.warningBackgroundSelfTestFailed : undefined
  }

  /** Forgets the one that is pending. */
  dismiss(selfTests: SelfTests): void {
    this.#dismissed = lastInBackground(selfTests)
  }
}

const IN_BACKGROUND: readonly SelfTestCode[] = [SelfTestCode.backgroundShort, SelfTestCode.backgroundExtended]

/** The last one that has ended. */
const lastInBackground = ({ records }: SelfTests): SelfTestRecord | undefined =>
  records.find(({ code, result }) => IN_BACKGROUND.includes(code) && result !== SelfTestResult.inProgress)
