import { Asc } from "../spec/sense.ts"
import { SelfTestCode, SelfTestResult, type SelfTests } from "./self-tests.ts"

/** MRIE: how informational exceptions are reported (SPC-4 §7.5.11). */
export const ReportingMethod = { none: 0, unitAttention: 2, onRequest: 6 } as const
export type ReportingMethod = (typeof ReportingMethod)[keyof typeof ReportingMethod]

/**
 * What the informational exceptions control mode page sets (SPC-4 §7.5.11). A new one has the defaults: whoever asks is
 * told (REQUEST SENSE, log page 2Fh), nobody else.
 */
export class InformationalExceptions {
  /** DEXCPT. */
  disabled = false
  /** EWASC: warnings count, too. */
  warnings = true
  /** TEST: there is a false one. */
  test = false
  method: ReportingMethod = ReportingMethod.onRequest

  reset(): void {
    Object.assign(this, new InformationalExceptions())
  }

  /** The additional sense code of the one that is pending; undefined: there is none. */
  pending({ records }: SelfTests): number | undefined {
    if (this.disabled) return undefined
    if (this.test) return Asc.failurePredictionThresholdExceededFalse
    const last = records.find(
      ({ code, result }) => code !== SelfTestCode.default && result !== SelfTestResult.inProgress,
    )
    return this.warnings && last?.result === SelfTestResult.failed
      ? Asc.warningBackgroundSelfTestFailed
      : undefined
  }
}
