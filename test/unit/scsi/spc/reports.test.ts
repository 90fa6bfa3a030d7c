import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { makeBench } from "../test-unit.ts"

const { illegalRequest } = SenseKey
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const MAINTENANCE_IN = 0xa3
/** Those of the test unit: PERSISTENT RESERVE IN and OUT too. */
const WITH_SERVICE_ACTIONS = [0x5e, 0x5f, MAINTENANCE_IN]

interface Reported {
  readonly opcode: number
  readonly serviceAction: number
  readonly flags: number
  readonly cdbBytes: number
}

function parseAll(data: Uint8Array, stepBytes: number): Reported[] {
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  assert.equal(view.getUint32(0), data.length - 4)
  const rows: Reported[] = []
  for (let at = 4; at < data.length; at += stepBytes) {
    rows.push({
      opcode: data[at]!,
      serviceAction: view.getUint16(at + 2),
      flags: data[at + 5]!,
      cdbBytes: view.getUint16(at + 6),
    })
  }
  return rows
}

describe("REPORT SUPPORTED OPERATION CODES", () => {
  test("all commands are those of the table, rising", async () => {
    const { run, unit } = makeBench()
    const rows = parseAll(good(await run(cdb.reportSupportedOperationCodes(8192))), 8)
    assert.equal(rows.length, unit.commands.length)
    const order = rows.map(({ opcode, serviceAction }) => opcode * 0x1_0000 + serviceAction)
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    )
    for (const { opcode, flags, serviceAction, cdbBytes } of rows) {
      assert.equal(flags, WITH_SERVICE_ACTIONS.includes(opcode) ? 1 : 0)
      if (flags === 0) assert.equal(serviceAction, 0)
      assert.ok([6, 10, 12].includes(cdbBytes))
    }
  })

  test("RCTD adds a timeouts descriptor to each", async () => {
    const { run } = makeBench()
    const data = good(await run(cdb.reportSupportedOperationCodes(8192, { timeouts: true })))
    for (const { flags } of parseAll(data, 20)) assert.equal(flags & 0x02, 0x02)
    assert.equal(hex(data.subarray(12, 24)), "000a" + "00".repeat(10))
  })

  test("each command by itself, with what it looks at in its CDB", async () => {
    const { run, unit } = makeBench()
    for (const { opcode, serviceAction, usage } of unit.commands) {
      const one = cdb.reportSupportedOperationCodes(512, {
        opcode,
        ...(serviceAction !== undefined && { serviceAction }),
      })
      const data = good(await run(one))
      assert.equal(data[1], 0x03)
      assert.equal((data[2]! << 8) | data[3]!, usage.length)
      assert.equal(data[4], opcode)
      const naca = usage.map((bits, at) => (at === usage.length - 1 ? bits | 0x04 : bits))
      assert.deepEqual([...data.subarray(4)], naca)
    }
    const timed = good(await run(cdb.reportSupportedOperationCodes(512, { opcode: 0, timeouts: true })))
    assert.equal(hex(timed), "00830006" + "000000000004" + "000a" + "00".repeat(10))
  })

  test("the wrong way to ask is refused, but not as an unknown service action", async () => {
    const { run } = makeBench()
    const asked: readonly (readonly [options: number, opcode: number, action: number])[] = [
      [1, MAINTENANCE_IN, 0], // has service actions
      [2, 0x12, 0], // has none
      [4, 0x12, 0],
      [7, 0xff, 0],
    ]
    for (const [options, opcode, action] of asked) {
      const bytes = [MAINTENANCE_IN, 0x0c, options, opcode, 0, action, 0, 0, 2, 0, 0, 0]
      const sense = checkCondition(await run(bytes), illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 2, bit: 2 })
    }
  })

  test("what isn't supported is reported so", async () => {
    const { run } = makeBench()
    const asked: readonly (readonly [options: number, opcode: number, action: number])[] = [
      [1, 0xff, 0],
      [2, MAINTENANCE_IN, 0x1f],
      [3, 0x12, 1],
      [3, MAINTENANCE_IN, 0x1f],
    ]
    for (const [options, opcode, action] of asked) {
      const bytes = [MAINTENANCE_IN, 0x0c, options, opcode, 0, action, 0, 0, 2, 0, 0, 0]
      assert.equal(hex(good(await run(bytes))), "00010000")
    }
    const either = [MAINTENANCE_IN, 0x0c, 3, MAINTENANCE_IN, 0, 0x0d, 0, 0, 2, 0, 0, 0]
    assert.equal(hex(good(await run(either))), "0003000c" + "a30d80000000ffffffff0004")
  })
})

describe("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", () => {
  test("those there are, short and extended", async () => {
    const { run } = makeBench()
    assert.equal(hex(good(await run(cdb.reportSupportedTaskManagementFunctions(64)))), "fa000000")
    const extended = good(await run(cdb.reportSupportedTaskManagementFunctions(64, true)))
    assert.equal(hex(extended), "fa00000c" + "00".repeat(12))
    const short = await run(cdb.reportSupportedTaskManagementFunctions(3))
    checkCondition(short, illegalRequest, Asc.invalidFieldInCdb)
  })
})
