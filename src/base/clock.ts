/** A timer that has been set. Cancelling one that has fired does nothing. */
export interface Timer {
  cancel(): void
}

/**
 * Where time comes from. Nothing outside `base/` may ask the machine for it, so that a whole target and
 * initiator can run in virtual time.
 */
export interface Clock {
  /** Monotonic, in milliseconds with a fraction; its zero means nothing. */
  nowMs(): number
  /** The calendar's time, in milliseconds since 1970. */
  wallMs(): number
  /** Calls `fire` once, `delayMs` from now (0: as soon as the events already waiting are handled). `name` is for people. */
  after(delayMs: number, name: string, fire: () => void): Timer
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, _name, fire) {
    if (delayMs <= 0) {
      const immediate = setImmediate(fire)
      return { cancel: () => clearImmediate(immediate) }
    }
    const timeout = setTimeout(fire, delayMs)
    return { cancel: () => clearTimeout(timeout) }
  },
}

/** Resolves after `delayMs`; rejects with the signal's reason when that is aborted first. */
export function sleep(clock: Clock, delayMs: number, name: string, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error)
    const onAbort = () => {
      timer.cancel()
      reject(signal?.reason as Error)
    }
    const timer = clock.after(delayMs, name, () => {
      signal?.removeEventListener("abort", onAbort)
      resolve()
    })
    signal?.addEventListener("abort", onAbort, { once: true })
  })
}
