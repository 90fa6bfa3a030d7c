import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { UNIT_ATTENTIONS_MAX } from "../../../../src/base/limits.ts"
import { UnitAttentions } from "../../../../src/scsi/sam/unit-attention.ts"
import { Asc } from "../../../../src/scsi/spec/sense.ts"

const drain = (attentions: UnitAttentions): number[] => {
  const taken: number[] = []
  for (let asc = attentions.take(); asc !== undefined; asc = attentions.take()) taken.push(asc)
  return taken
}

const made = (...codes: number[]): UnitAttentions => {
  const attentions = new UnitAttentions()
  for (const asc of codes) attentions.establish(asc)
  return attentions
}

describe("unit attentions", () => {
  test("come in the order they were established, each once", () => {
    const { capacityDataHasChanged, reportedLunsDataHasChanged } = Asc
    const codes = [capacityDataHasChanged, reportedLunsDataHasChanged, capacityDataHasChanged]
    assert.deepEqual(drain(made(...codes)), [capacityDataHasChanged, reportedLunsDataHasChanged])
  })

  test("a reset comes first", () => {
    assert.deepEqual(drain(made(Asc.capacityDataHasChanged, Asc.busDeviceResetFunction)), [
      Asc.busDeviceResetFunction,
      Asc.capacityDataHasChanged,
    ])
  })

  test("of two resets the one that reaches further is told", () => {
    assert.deepEqual(drain(made(Asc.itNexusLoss, Asc.powerOn)), [Asc.powerOn])
    assert.deepEqual(drain(made(Asc.powerOn, Asc.busDeviceResetFunction)), [Asc.powerOn])
  })

  test("clear takes one out wherever it is", () => {
    const attentions = made(Asc.powerOn, Asc.reportedLunsDataHasChanged, Asc.capacityDataHasChanged)
    attentions.clear(Asc.reportedLunsDataHasChanged)
    attentions.clear(Asc.modeParametersChanged)
    assert.deepEqual(drain(attentions), [Asc.powerOn, Asc.capacityDataHasChanged])
  })

  test("the queue is bounded, and a reset always finds room in it", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff), { maxLength: 60 }), (codes) => {
        const attentions = made(...codes)
        assert.ok(attentions.size <= UNIT_ATTENTIONS_MAX)
        attentions.establish(Asc.powerOn)
        assert.ok(attentions.size <= UNIT_ATTENTIONS_MAX)
        assert.equal(attentions.first, Asc.powerOn)
        const taken = drain(attentions)
        assert.equal(new Set(taken).size, taken.length)
      }),
    )
  })
})
