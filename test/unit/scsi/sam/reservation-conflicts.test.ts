import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import type { Command } from "../../../../src/scsi/sam/command.ts"
import { reservationRule, standardRule } from "../../../../src/scsi/sam/reservation-conflicts.ts"
import { diskCommands } from "../../../../src/scsi/sbc/commands.ts"

/** A CDB of a row, as short as it may be. */
function cdbOf({
  opcode,
  serviceAction = 0,
  usage,
}: Pick<Command, "opcode" | "serviceAction" | "usage">): Uint8Array {
  const bytes = new Uint8Array(Math.max(16, usage.length))
  bytes[0] = opcode
  if (opcode === 0x7f) bytes[9] = serviceAction
  else bytes[1] = serviceAction
  return bytes
}

/**
 * SPC-4 table 65 and SBC-4 table 13 once more, in the order of their columns: Write Exclusive and Exclusive Access from
 * any nexus; any for registrants from one that is registered; Write Exclusive and Exclusive Access for registrants from
 * one that isn't. A: allowed, C: conflict.
 */
const tables: Readonly<Record<string, string>> = {
  "TEST UNIT READY": "AAAAA",
  "REQUEST SENSE": "AAAAA",
  INQUIRY: "AAAAA",
  "MODE SELECT (6)": "CCACC",
  "MODE SELECT (10)": "CCACC",
  "MODE SENSE (6)": "ACAAC",
  "MODE SENSE (10)": "ACAAC",
  "SEND DIAGNOSTIC": "CCACC",
  "REPORT LUNS": "AAAAA",
  "REPORT SUPPORTED OPERATION CODES": "ACAAC",
  "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS": "ACAAC",
  "COMPARE AND WRITE": "CCACC",
  "GET LBA STATUS": "ACAAC",
  ORWRITE: "CCACC",
  "PRE-FETCH": "ACAAC",
  READ: "ACAAC",
  "READ CAPACITY": "AAAAA",
  "SYNCHRONIZE CACHE": "CCACC",
  UNMAP: "CCACC",
  VERIFY: "ACAAC",
  WRITE: "CCACC",
  "WRITE AND VERIFY": "CCACC",
  "WRITE SAME": "CCACC",
}

const columns = { all: "AAAAA", "write exclusive": "ACAAC", none: "CCACC" } as const

const plainName = (name: string): string => name.replace(/ \(\d+\)$/, "")

const able = { atomicWrites: true, renewable: true, identifiable: true }

describe("which commands are allowed in the presence of reservations", () => {
  test("the standards say it of every command a disk has", () => {
    for (const thin of [false, true]) {
      for (const command of diskCommands({ ...able, thin })) {
        assert.ok(standardRule(cdbOf(command)), `${command.name} isn't in the table`)
      }
    }
  })

  test("as tables 65 and 13 have it", () => {
    const left = new Set(Object.keys(tables))
    for (const command of diskCommands({ ...able, thin: true })) {
      const row = tables[command.name] ?? tables[plainName(command.name)]
      if (row === undefined) continue
      left.delete(command.name)
      left.delete(plainName(command.name))
      const { persistent } = reservationRule(command, cdbOf(command))
      assert.equal(columns[persistent as keyof typeof columns], row, command.name)
    }
    assert.deepEqual([...left], [])
  })

  test("START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL depend on what they say", () => {
    const rule = (bytes: Uint8Array): string => standardRule(bytes)?.persistent ?? "unknown"
    assert.equal(rule(cdb.startStopUnit(true)), "all")
    assert.equal(rule(cdb.startStopUnit(true, { loadOrEject: true })), "all")
    assert.equal(rule(cdb.startStopUnit(false)), "none")
    assert.equal(rule(cdb.startStopUnit(true, { powerCondition: 3 })), "none")
    assert.equal(rule(cdb.preventAllowMediumRemoval(false)), "all")
    assert.equal(rule(cdb.preventAllowMediumRemoval(true)), "none")
  })

  test("what no standard lists goes by its access to the medium", () => {
    const command = (access: Command["access"]): Command => ({
      name: "OWN",
      opcode: 0xc0,
      usage: [0xc0],
      access,
      execute: () => {},
    })
    const rules = (["none", "read", "write"] as const).map((access) =>
      reservationRule(command(access), new Uint8Array([0xc0, 0])),
    )
    assert.deepEqual(
      rules.map(({ reserved, persistent }) => [reserved, persistent]),
      [
        ["anyone", "all"],
        ["holder", "write exclusive"],
        ["holder", "none"],
      ],
    )
  })
})
