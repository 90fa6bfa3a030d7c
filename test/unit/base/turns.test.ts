import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Turns } from "../../../src/base/turns.ts"

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe("turns", () => {
  test("with nothing under way work is done at once", () => {
    const turns = new Turns()
    assert.equal(
      turns.take(() => 1),
      1,
    )
    assert.equal(
      turns.take(() => 2),
      2,
    )
    assert.throws(() => turns.take(() => assert.fail("as told")), /as told/)
    assert.equal(
      turns.take(() => 3),
      3,
    )
  })

  test("work waits for what came before, and goes on after a failure", async () => {
    const turns = new Turns()
    const order: string[] = []
    const ends: (() => void)[] = []
    const slow = (name: string) => (): Promise<void> => {
      order.push(`${name} begins`)
      return new Promise((resolve) => ends.push(resolve))
    }
    const first = turns.take(slow("first"))
    const second = turns.take(() => {
      order.push("second")
      throw new Error("as told")
    })
    const third = turns.take(slow("third"))
    await settle()
    assert.deepEqual(order, ["first begins"])
    ends.shift()!()
    await first
    await assert.rejects(async () => second, /as told/)
    await settle()
    assert.deepEqual(order, ["first begins", "second", "third begins"])
    ends.shift()!()
    await third
    await settle()
    assert.equal(
      turns.take(() => "at once"),
      "at once",
    )
  })
})
