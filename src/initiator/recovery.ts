import { sleep } from "../base/clock.ts"
import { RECONNECT_DELAY_MS, RECONNECT_DELAY_MS_MAX, RECONNECT_TOTAL_MS } from "../base/limits.ts"
import { ChapConfigurationError, LoginError } from "../iscsi/login/index.ts"
import { LoginStatus } from "../iscsi/spec/index.ts"
import type { InitiatorServices } from "./services.ts"

export interface ReconnectOptions {
  /** How long to try, from the loss on. */
  readonly totalMs?: number
  /** The first pause between attempts, doubled each time up to delayMaxMs; the target's Time2Wait comes before all. */
  readonly delayMs?: number
  readonly delayMaxMs?: number
}

/** What another attempt wouldn't change. A target that isn't found may be about to start. */
const FINAL: readonly number[] = [
  LoginStatus.authenticationFailure,
  LoginStatus.authorizationFailure,
  LoginStatus.unsupportedVersion,
  LoginStatus.sessionTypeNotSupported,
  LoginStatus.missingParameter,
]

function isFinal(error: unknown): boolean {
  if (error instanceof ChapConfigurationError) return true
  return error instanceof LoginError && (error.code === "ERR_LOGIN_PROTOCOL" || FINAL.includes(error.status))
}

/** Tries until it works, with pauses that grow and vary, so that a hundred initiators don't come back at once. */
export class Recovery {
  attempts = 0
  readonly #options: ReconnectOptions
  readonly #services: InitiatorServices
  readonly #signal: AbortSignal

  constructor(options: ReconnectOptions, services: InitiatorServices, signal: AbortSignal) {
    this.#options = options
    this.#services = services
    this.#signal = signal
  }

  /** Rejects with the last attempt's error when time is up or the error is final, or with the signal's reason. */
  async run(waitMs: number, attempt: () => Promise<void>): Promise<void> {
    const { clock, random } = this.#services
    const { totalMs = RECONNECT_TOTAL_MS, delayMaxMs = RECONNECT_DELAY_MS_MAX } = this.#options
    const endMs = clock.nowMs() + Math.max(totalMs, waitMs)
    let delayMs = this.#options.delayMs ?? RECONNECT_DELAY_MS
    let pauseMs = waitMs
    for (;;) {
      await sleep(clock, pauseMs, "reconnect", this.#signal)
      this.attempts++
      try {
        return await attempt()
      } catch (error) {
        this.#signal.throwIfAborted()
        pauseMs = delayMs * (0.75 + random.uint32() / 2 ** 33)
        if (isFinal(error) || clock.nowMs() + pauseMs > endMs) throw error
        delayMs = Math.min(delayMs * 2, delayMaxMs)
      }
    }
  }
}
