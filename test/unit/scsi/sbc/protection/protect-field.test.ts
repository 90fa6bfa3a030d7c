/**
 * Every value of RDPROTECT, WRPROTECT, VRPROTECT and ORPROTECT for every type of protection, against one table: the standard's
 * (SBC-3: READ (10), WRITE (10), VERIFY (10), ORWRITE; §4.22.2 for the types).
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { ProtectionType } from "../../../../../src/backstore/protection/tuple.ts"
import type { Sense } from "../../../../../src/scsi/spec/sense.ts"
import { blockCdb, compareAndWriteCdb, type Outcome, pattern } from "../disk.ts"
import { VariableLength } from "../../../../../src/scsi/spec/operation-code.ts"
import {
  cdb32,
  interleave,
  makeProtectedDisk,
  type ProtectedDisk,
  store,
  type Tuple,
} from "./protected-disk.ts"

const BLOCK = 512
const LBA = 7
const DATA = pattern(BLOCK, 3)

/** By value: whether protection information is transmitted, and which of Guard, Application and Reference tag are checked. */
const table = [
  { sent: false, checked: "GAR" },
  { sent: true, checked: "GAR" },
  { sent: true, checked: "AR" },
  { sent: true, checked: "" },
  { sent: true, checked: "G" },
  { sent: true, checked: "GAR" },
  "reserved",
  "reserved",
] as const

/**
 * What a device server knows, and so can check. Type 1: reference tags are LBAs. Type 2: a 32-byte CDB tells both tags. Type 3: nobody tells.
 * Application tags are told by 32-byte CDBs only, and count with ATO.
 */
function known(type: ProtectionType, long: boolean, ato: boolean): string {
  if (type === 1) return "GR"
  if (type === 2 && long) return ato ? "GAR" : "GR"
  return "G"
}

const corruptions: readonly { readonly field: string; readonly tuple: Tuple; readonly asc: number }[] = [
  { field: "G", tuple: { guard: 0x0bad }, asc: 0x1001 },
  { field: "A", tuple: { applicationTag: 0x0bad }, asc: 0x1002 },
  { field: "R", tuple: { referenceTag: 0x0bad }, asc: 0x1003 },
]

interface Case {
  readonly type: ProtectionType
  readonly long: boolean
  readonly ato: boolean
  readonly value: number
}

const cases: Case[] = []
for (const type of [1, 2, 3] as const)
  for (const long of [false, true])
    for (const ato of [false, true])
      for (let value = 0; value < 8; value++) cases.push({ type, long, ato, value })

const titleOf = ({ type, long, ato, value }: Case) =>
  `type ${type}, ${long ? "32-byte" : "10-byte"} CDB, ATO ${Number(ato)}, ${value.toString(2).padStart(3, "0")}b`

/** Which kind of refusal, if any: only type 2 has 32-byte CDBs, and has *PROTECT in no other. */
function refusal({ type, long, value }: Case): readonly [number, number] | undefined {
  if (type === 2 ? !long && value !== 0 : long) return [5, 0x2000]
  return table[value] === "reserved" ? [5, 0x2400] : undefined
}

const cdbOf = ({ long, value }: Case, opcode: number, action: number, flags = 0, blocks = 1): Uint8Array => {
  const all = (value << 5) | flags
  const tags = { flags: all, applicationTag: 0, applicationTagMask: 0xffff }
  return long ? cdb32(action, LBA, blocks, tags) : blockCdb(opcode, LBA, blocks, all)
}

async function diskFor({ type, ato }: Case): Promise<ProtectedDisk> {
  const made = await makeProtectedDisk(type)
  made.disk.unit.control.applicationTagOwner = ato
  return made
}

function expectSense(sense: Sense | undefined, key: number, asc: number, why: string): void {
  assert.deepEqual([sense?.key, sense?.asc.toString(16)], [key, asc.toString(16)], why)
}

/** Ends as the table says when `field` is wrong: with ABORTED COMMAND and the LBA, or GOOD. */
function expectChecked({ sense }: Outcome, checked: boolean, asc: number, why: string): void {
  if (!checked) return assert.equal(sense, undefined, why)
  expectSense(sense, 0xb, asc, why)
  assert.equal(sense?.detail.information, LBA, why)
}

describe("*PROTECT", () => {
  for (const each of cases) {
    const { type, long, ato, value } = each
    const row = table[value]!
    const refused = refusal(each)
    const checks = (field: string) =>
      row !== "reserved" && row.checked.includes(field) && known(type, long, ato).includes(field)

    test(`READ: ${titleOf(each)}`, async () => {
      const { disk, store: on } = await diskFor(each)
      const cdb = cdbOf(each, 0x28, VariableLength.read32)
      if (refused) return expectSense((await disk.run(cdb)).sense, ...refused, "refused")
      assert.ok(row !== "reserved")
      const right = interleave(DATA, LBA, BLOCK)
      await store(on, LBA, right)
      assert.deepEqual(Buffer.from(await disk.good(cdb)), row.sent ? right : Buffer.from(DATA))
      for (const { field, tuple, asc } of corruptions) {
        const wrong = interleave(DATA, LBA, BLOCK, tuple)
        await store(on, LBA, wrong)
        const outcome = await disk.run(cdb)
        expectChecked(outcome, checks(field), asc, field)
        if (!checks(field))
          assert.deepEqual(Buffer.from(outcome.dataIn), row.sent ? wrong : Buffer.from(DATA))
      }
    })

    test(`VERIFY, BYTCHK 00b: ${titleOf(each)}`, async () => {
      const { disk, store: on } = await diskFor(each)
      const cdb = cdbOf(each, 0x2f, VariableLength.verify32)
      if (refused) return expectSense((await disk.run(cdb)).sense, ...refused, "refused")
      for (const { field, tuple, asc } of corruptions) {
        await store(on, LBA, interleave(DATA, LBA, BLOCK, tuple))
        expectChecked(await disk.run(cdb), checks(field), asc, field)
      }
    })

    test(`WRITE and WRITE AND VERIFY: ${titleOf(each)}`, async () => {
      for (const [opcode, action] of [
        [0x2a, VariableLength.write32],
        [0x2e, VariableLength.writeAndVerify32],
      ] as const) {
        const { disk, store: on } = await diskFor(each)
        const cdb = cdbOf(each, opcode, action)
        const sent = row !== "reserved" && row.sent
        if (refused) {
          expectSense((await disk.run(cdb, { dataOut: DATA })).sense, ...refused, "refused")
          continue
        }
        if (!sent) {
          await disk.good(cdb, { dataOut: DATA })
          const made = interleave(DATA, LBA, BLOCK, {
            applicationTag: ato ? 0xffff : 0,
            ...(type === 3 && { referenceTag: 0xffffffff }),
          })
          assert.deepEqual(await stored(on), made, "made as of SBC-3 §4.22.2")
          continue
        }
        const right = interleave(DATA, LBA, BLOCK, {})
        await disk.good(cdb, { dataOut: right })
        assert.deepEqual(await stored(on), right)
        for (const { field, tuple, asc } of corruptions) {
          const wrong = interleave(pattern(BLOCK, 9), LBA, BLOCK, tuple)
          expectChecked(await disk.run(cdb, { dataOut: wrong }), checks(field), asc, field)
          assert.equal((await stored(on)).equals(wrong), !checks(field), "what is refused isn't written")
          await store(on, LBA, right)
        }
      }
    })

    test(`VERIFY, BYTCHK 01b: ${titleOf(each)}`, async () => {
      const { disk, store: on } = await diskFor(each)
      const cdb = cdbOf(each, 0x2f, VariableLength.verify32, 0x02)
      const sent = row !== "reserved" && row.sent
      const dataOut = sent ? interleave(DATA, LBA, BLOCK) : DATA
      if (refused) return expectSense((await disk.run(cdb, { dataOut })).sense, ...refused, "refused")
      for (const { field, tuple, asc } of corruptions) {
        const wrong = interleave(DATA, LBA, BLOCK, tuple)
        // What is stored is checked by itself only when nothing came to compare it with.
        await store(on, LBA, wrong)
        const outcome = await disk.run(cdb, { dataOut })
        if (!sent) expectChecked(outcome, checks(field), asc, field)
        else if (compared(each, field)) expectSense(outcome.sense, 0xe, asc, `compared: ${field}`)
        else assert.equal(outcome.sense, undefined, field)
        // What is sent is checked, and equals what is stored.
        if (sent) expectChecked(await disk.run(cdb, { dataOut: wrong }), checks(field), asc, `sent: ${field}`)
      }
      await store(on, LBA, interleave(DATA, LBA, BLOCK))
      await disk.good(cdb, { dataOut })
      const other = Uint8Array.from(DATA)
      other[100]! ^= 1
      await store(on, LBA, interleave(other, LBA, BLOCK))
      const { sense } = await disk.run(cdb, { dataOut })
      expectSense(sense, 0xe, 0x1d00, "the blocks themselves")
      assert.equal(sense?.detail.information, 100)
    })

    if (long) continue
    test(`ORWRITE and COMPARE AND WRITE: ${titleOf(each)}`, async () => {
      const { disk, store: on } = await diskFor(each)
      const orWrite = blockCdb(0x8b, LBA, 1, value << 5)
      const compare = compareAndWriteCdb(LBA, 1, value << 5)
      const sent = row !== "reserved" && row.sent
      const wire = (data: Uint8Array, tuple: Tuple = {}) =>
        sent ? interleave(data, LBA, BLOCK, tuple) : data
      const twice = (a: Uint8Array, b: Uint8Array) => ({ dataOut: Buffer.concat([a, b]) })
      if (refused) {
        expectSense((await disk.run(orWrite, { dataOut: DATA })).sense, ...refused, "refused")
        expectSense((await disk.run(compare, twice(DATA, DATA))).sense, ...refused, "refused")
        return
      }
      for (const { field, tuple, asc } of corruptions) {
        await store(on, LBA, interleave(DATA, LBA, BLOCK, tuple))
        const zeroes = new Uint8Array(BLOCK)
        expectChecked(
          await disk.run(orWrite, { dataOut: wire(zeroes) }),
          checks(field),
          asc,
          `stored: ${field}`,
        )
        await store(on, LBA, interleave(DATA, LBA, BLOCK))
        if (!sent) continue
        expectChecked(
          await disk.run(orWrite, { dataOut: wire(zeroes, tuple) }),
          checks(field),
          asc,
          `or: ${field}`,
        )
        await store(on, LBA, interleave(DATA, LBA, BLOCK))
        // SBC-4 §5.3: that of the compare instance isn't used, that of the write instance once there is a match.
        await disk.good(compare, twice(wire(DATA, tuple), wire(DATA)))
        const differs = await disk.run(compare, twice(wire(zeroes), wire(DATA, tuple)))
        expectSense(differs.sense, 0xe, 0x1d00, `miscompare first: ${field}`)
        const second = await disk.run(compare, twice(wire(DATA), wire(DATA, tuple)))
        expectChecked(second, checks(field), asc, `written: ${field}`)
      }
      await store(on, LBA, interleave(DATA, LBA, BLOCK))
      const bits = pattern(BLOCK, 5)
      await disk.good(orWrite, { dataOut: wire(bits) })
      const both = DATA.map((byte, i) => byte | bits[i]!)
      assert.deepEqual(
        (await stored(on)).subarray(0, BLOCK + 2),
        interleave(both, LBA, BLOCK).subarray(0, BLOCK + 2),
      )
      expectSense((await disk.run(compare, twice(wire(DATA), wire(bits)))).sense, 0xe, 0x1d00, "miscompare")
      await disk.good(compare, twice(wire(both), wire(bits)))
      assert.deepEqual((await stored(on)).subarray(0, BLOCK), Buffer.from(bits))
      await on.read(LBA * BLOCK, new Uint8Array(BLOCK))
    })
  }
})

/** VERIFY compares with what is sent. */
function compared({ type, ato, value }: Case, field: string): boolean {
  if (field === "G") return value !== 2
  if (field === "A") return ato
  return type !== 3 || !ato
}

async function stored(on: ProtectedDisk["store"]): Promise<Buffer> {
  const into = Buffer.alloc(BLOCK + 8)
  await on.readProtected(LBA, into, {
    guard: false,
    applicationTag: undefined,
    referenceTagOffset: undefined,
  })
  return into
}
