/** The judge's own rules, where it has been wrong before. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { OracleDisk, OracleViolation } from "./oracle.ts"

const BLOCK_BYTES = 4
const owner = {}
const block = (byte: number): Uint8Array => new Uint8Array(BLOCK_BYTES).fill(byte)
const disk = (): OracleDisk => new OracleDisk("disk", BLOCK_BYTES, 8, { volatile: false, alone: true })

test("COMPARE AND WRITE of blocks that were cut off when it began may miscompare", () => {
  const oracle = disk()
  oracle.endWrite(oracle.beginWrite("a write", owner, 6, block(1), true), "done")
  oracle.resize(4)
  const ticket = oracle.beginWrite("compare and write", owner, 6, block(2), false)
  oracle.resize(8)
  oracle.compared(ticket, block(1), false)
  oracle.endWrite(ticket, "never")
  oracle.endRead(oracle.beginRead("a read", 6, 1), block(0))
})

test("a write of blocks that were not there when it began is there when they are", () => {
  const oracle = disk()
  oracle.resize(4)
  const ticket = oracle.beginWrite("a write", owner, 6, block(3), true)
  oracle.resize(8)
  oracle.endWrite(ticket, "done")
  oracle.endRead(oracle.beginRead("a read", 6, 1), block(3))
  assert.throws(() => oracle.endRead(oracle.beginRead("a read", 6, 1), block(0)), OracleViolation)
})

test("a miscompare with what the blocks must hold is a violation", () => {
  const oracle = disk()
  oracle.endWrite(oracle.beginWrite("a write", owner, 6, block(1), true), "done")
  const ticket = oracle.beginWrite("compare and write", owner, 6, block(2), false)
  assert.throws(() => oracle.compared(ticket, block(1), false), OracleViolation)
})
