import type { Counters } from "../sam/counters.ts"
import type { CounterParameter, LogPage } from "../sam/log-page.ts"

const COUNTER_BYTES = 8

const counter = (
  code: number,
  field: keyof { [K in keyof Counters as Counters[K] extends number ? K : never]: 0 },
): CounterParameter => ({
  code,
  bounded: true,
  counters: [{ bytes: COUNTER_BYTES, count: (unit) => unit.counters[field] }],
})

/** Parameters of the error counter pages (SPC-4 §7.3). What the storage corrects by itself it tells nobody. */
const TOTAL_BYTES_PROCESSED = 0x0005
const TOTAL_UNCORRECTED_ERRORS = 0x0006

/** Write, Read and Verify Error Counter, and Non-Medium Error (SPC-4 §7.3). */
export const errorCounterPages: readonly LogPage[] = [
  {
    code: 0x02,
    counters: [
      counter(TOTAL_BYTES_PROCESSED, "writtenBytes"),
      counter(TOTAL_UNCORRECTED_ERRORS, "writeErrors"),
    ],
  },
  {
    code: 0x03,
    counters: [counter(TOTAL_BYTES_PROCESSED, "readBytes"), counter(TOTAL_UNCORRECTED_ERRORS, "readErrors")],
  },
  {
    code: 0x05,
    counters: [
      counter(TOTAL_BYTES_PROCESSED, "verifiedBytes"),
      counter(TOTAL_UNCORRECTED_ERRORS, "verifyErrors"),
    ],
  },
  { code: 0x06, counters: [counter(0x0000, "nonMediumErrors")] },
]
