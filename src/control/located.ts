import { SanletError } from "../base/errors.ts"
import { NetworkError } from "../base/network-error.ts"

/** Puts the place in front of what failed there: who copies from one LUN to another wants to know which. */
export async function located<T>(place: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    // A NetworkError names its address already, and its system code is worth keeping.
    if (!(error instanceof SanletError) || error instanceof NetworkError) throw error
    throw new SanletError(error.code, `${place}: ${error.message}`, { cause: error })
  }
}
