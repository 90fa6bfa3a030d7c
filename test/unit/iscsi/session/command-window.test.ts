import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { CommandWindow } from "../../../../src/iscsi/session/command-window.ts"
import { serialAdd } from "../../../../src/wire/serial.ts"

describe("CommandWindow", () => {
  it("holds what is between ExpCmdSN and MaxCmdSN, and nothing else", () => {
    const window = new CommandWindow<string>(10, 4)
    assert.deepEqual(
      [9, 10, 13, 14].map((cmdSn) => window.contains(cmdSn)),
      [false, true, true, false],
    )
  })

  it("moves its end only when a command is retired, so that it bounds what is outstanding", () => {
    const window = new CommandWindow<string>(10, 2)
    window.advance()
    window.advance()
    assert.equal(window.contains(12), false)
    window.retire()
    assert.equal(window.contains(12), true)
  })

  it("counts on across 2^32", () => {
    const window = new CommandWindow<string>(0xffffffff, 3)
    assert.equal(window.contains(0), true)
    window.advance()
    assert.equal(window.expCmdSn, 0)
    assert.equal(window.contains(0xffffffff), false)
  })

  it("refuses a duplicate of what it keeps", () => {
    const window = new CommandWindow<string>(0, 8)
    assert.equal(window.keep(2, "first"), true)
    assert.equal(window.keep(2, "again"), false)
  })

  it("passes over a number that an ABORT TASK has taken", () => {
    const window = new CommandWindow<string>(0, 8)
    assert.equal(window.awaits(0, 1), true)
    window.skip(0)
    window.keep(1, "one")
    assert.deepEqual([...window.due()], [undefined, "one"])
    assert.equal(window.expCmdSn, 2)
  })

  it("delivers every order of arrival in the order of CmdSN, each once", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xffffffff }),
        fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }),
        (first, order) => {
          const window = new CommandWindow<number>(first, 8)
          const delivered: number[] = []
          for (const n of order) {
            const cmdSn = serialAdd(first, n)
            if (cmdSn !== window.expCmdSn) {
              window.keep(cmdSn, n)
              continue
            }
            window.advance()
            delivered.push(n)
            for (const held of window.due()) delivered.push(held!)
          }
          assert.deepEqual(delivered, [0, 1, 2, 3, 4, 5, 6, 7])
        },
      ),
    )
  })
})
