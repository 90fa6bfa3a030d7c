import { SELF_TEST_RESULTS_MAX } from "../../base/limits.ts"
import { putU16, putU64 } from "../cdb/fields.ts"
import type { LogPage } from "../sam/log-page.ts"
import type { SelfTestRecord } from "../sam/self-tests.ts"

const VALUE_BYTES = 16

/** A self-test results log parameter (SPC-4 §7.3). The segment that failed isn't told (SELF-TEST NUMBER is 0). */
function valueOf(record: SelfTestRecord | undefined): Uint8Array {
  const value = new Uint8Array(VALUE_BYTES)
  if (record === undefined) return value
  const { code, result, hours, sense } = record
  value[0] = (code << 5) | result
  putU16(value, 2, Math.min(hours, 0xffff))
  if (sense?.detail.information === undefined) value.fill(0xff, 4, 12)
  else putU64(value, 4, sense.detail.information)
  if (sense === undefined) return value
  value[12] = sense.key
  putU16(value, 13, sense.asc)
  return value
}

/** Self-Test Results (SPC-4 §7.3): the last twenty, the newest first; zeroes where there were fewer. */
export const selfTestResultsPage: LogPage = {
  code: 0x10,
  resetList: ({ selfTests }) => selfTests.forget(),
  list: ({ selfTests }) =>
    Array.from({ length: SELF_TEST_RESULTS_MAX }, (_, i) => ({
      code: i + 1,
      value: valueOf(selfTests.records[i]),
    })),
}
