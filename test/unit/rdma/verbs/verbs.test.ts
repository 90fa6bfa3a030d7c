import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { SanletError } from "../../../../src/base/errors.ts"
import {
  addressDistance,
  addressHighAt,
  addressLowAt,
  addressText,
  ConnectionRejectedError,
  VerbsError,
  WorkStatus,
  workStatusName,
} from "../../../../src/rdma/verbs/index.ts"

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const wide = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low)

describe("64-bit addresses as two u32", () => {
  test("adding an offset carries, and wraps at 2^64", () => {
    const property = fc.property(u32, u32, fc.integer({ min: 0, max: 2 ** 52 }), (high, low, offset) => {
      const sum = wide(addressHighAt(high, low, offset), addressLowAt(low, offset))
      assert.equal(sum, BigInt.asUintN(64, wide(high, low) + BigInt(offset)))
    })
    fc.assert(property)
    assert.equal(addressHighAt(0xffffffff, 0xffffffff, 1), 0)
    assert.equal(addressLowAt(0xffffffff, 1), 0)
  })

  test("the distance is exact where a region can be, and large where none can", () => {
    const property = fc.property(u32, u32, u32, u32, (fromHigh, fromLow, high, low) => {
      const exact = wide(high, low) - wide(fromHigh, fromLow)
      const found = addressDistance(fromHigh, fromLow, high, low)
      if (exact > -(2n ** 53n) && exact < 2n ** 53n) assert.equal(BigInt(found), exact)
      else assert.ok(Math.abs(found) >= 2 ** 53 - 1 && found > 0 === exact > 0n)
    })
    fc.assert(property)
    assert.equal(addressDistance(1, 0, 0, 0xffffffff), -1)
  })

  test("people read them in hexadecimal", () => {
    assert.equal(addressText(0xffff8880, 0x1000), "0xffff888000001000")
  })
})

describe("verbs", () => {
  test("statuses have ibverbs' numbers and a name for people", () => {
    assert.equal(WorkStatus.remoteAccessError, 10)
    assert.equal(workStatusName(WorkStatus.success), "success")
    assert.equal(workStatusName(WorkStatus.workRequestFlushedError), "work request flushed error")
    assert.equal(workStatusName(77), "status 77")
  })

  test("errors have stable codes", () => {
    const error = new VerbsError("queue-full", "full")
    assert.ok(error instanceof SanletError)
    assert.deepEqual([error.code, error.name], ["ERR_RDMA_QUEUE_FULL", "VerbsError"])
    assert.equal(new ConnectionRejectedError("no", new Uint8Array(3)).code, "ERR_RDMA_REJECTED")
  })
})
