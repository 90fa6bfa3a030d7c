import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { UnexpectedPdus } from "../../../../src/datamover/iser/unexpected.ts"

function make(limit: number) {
  const pdus = new UnexpectedPdus()
  pdus.limit = limit
  const sent: number[] = []
  return {
    pdus,
    sent,
    put(tag: number, number: number, answered: boolean) {
      const go = () => {
        pdus.sent(tag, number)
        sent.push(tag)
      }
      if (pdus.hasRoom(answered)) go()
      else pdus.hold(answered, go)
    },
  }
}

describe("PDUs nobody asked for", () => {
  test("without a limit nothing is remembered", () => {
    const { pdus, put, sent } = make(Infinity)
    for (let i = 0; i < 100; i++) put(i, i, false)
    assert.equal(sent.length, 100)
    assert.ok(!pdus.any)
  })

  test("the last place is for one that gets an answer", () => {
    const { pdus, put, sent } = make(3)
    for (const tag of [1, 2, 3]) put(tag, tag, false)
    put(4, 4, true)
    put(5, 5, true)
    assert.deepEqual(sent, [1, 2, 4])
    pdus.answered(4)
    // It was taken, and all before it were: there is room for both that waited.
    assert.deepEqual(sent, [1, 2, 4, 3, 5])
    assert.equal(pdus.heldCount, 0)
  })

  test("a limit of two leaves room for one without an answer", () => {
    const { put, sent } = make(2)
    put(1, 1, false)
    put(2, 2, false)
    put(3, 3, true)
    assert.deepEqual(sent, [1, 3])
  })

  test("an answer to something else changes nothing", () => {
    const { pdus, put, sent } = make(2)
    put(1, 1, false)
    put(2, 2, false)
    pdus.answered(77)
    pdus.acknowledged(1)
    assert.deepEqual(sent, [1])
  })

  test("numbers acknowledge in serial order, across the wrap", () => {
    const { pdus, put, sent } = make(3)
    put(1, 0xfffffffe, false)
    put(2, 0xffffffff, false)
    put(3, 0, false)
    pdus.acknowledged(0xffffffff)
    assert.deepEqual(sent, [1, 2, 3])
    pdus.acknowledged(1)
    assert.ok(!pdus.any)
  })
})
