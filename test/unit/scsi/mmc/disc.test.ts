import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good, type TestTask } from "../../../suites/scsi-task.ts"
import { pattern } from "../sbc/disk.ts"
import { cdBench, cdbOf } from "./drive-bench.ts"

const { illegalRequest } = SenseKey
/** Half an hour of CD, and a DVD. */
const CD_BLOCKS = 30 * 60 * 75 - 150
const DVD_BLOCKS = 2_000_000

function invalidField(task: TestTask, byte: number, bit?: number): void {
  const { detail } = checkCondition(task, illegalRequest, Asc.invalidFieldInCdb)
  assert.deepEqual(detail.field, bit === undefined ? { in: "cdb", byte } : { in: "cdb", byte, bit })
}

const u32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
]

describe("READ TOC/PMA/ATIP", () => {
  const toc = (bytes: Record<number, number>) => cdbOf(0x43, { 8: 0xff, ...bytes })

  it("format 0: one data track and the lead-out, by LBA and by MSF", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const [a] = nexuses
    const track = [0, 0x14, 1, 0]
    const leadOut = [0, 0x14, 0xaa, 0]
    const whole = [0, 18, 1, 1, ...track, 0, 0, 0, 0, ...leadOut, ...u32(CD_BLOCKS)]
    assert.deepEqual([...good(await run(a, toc({})))], whole)
    assert.deepEqual([...good(await run(a, toc({ 6: 1 })))], whole)
    const msf = [0, 18, 1, 1, ...track, 0, 0, 2, 0, ...leadOut, 0, 30, 0, 0]
    assert.deepEqual([...good(await run(a, toc({ 1: 2 })))], msf)
    assert.deepEqual([...good(await run(a, toc({ 6: 0xaa })))], [0, 10, 1, 1, ...leadOut, ...u32(CD_BLOCKS)])
    assert.deepEqual([...good(await run(a, toc({ 8: 4 })))], [0, 18, 1, 1])
    invalidField(await run(a, toc({ 6: 2 })), 6)
  })

  it("format 1: the one session there is, also where ATAPI drives had the format", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const session = [0, 10, 1, 1, 0, 0x14, 1, 0]
    assert.deepEqual([...good(await run(nexuses[0], toc({ 2: 1 })))], [...session, 0, 0, 0, 0])
    assert.deepEqual([...good(await run(nexuses[0], toc({ 9: 0x40 })))], [...session, 0, 0, 0, 0])
    assert.deepEqual([...good(await run(nexuses[0], toc({ 1: 2, 2: 1 })))], [...session, 0, 0, 2, 0])
  })

  it("format 2: the whole lead-in, always by MSF", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const entry = (point: number, ...address: number[]) => [1, 0x14, 0, point, 0, 0, 0, 0, ...address]
    const whole = [
      ...[0, 46, 1, 1],
      ...entry(0xa0, 1, 0, 0),
      ...entry(0xa1, 1, 0, 0),
      ...entry(0xa2, 30, 0, 0),
      ...entry(1, 0, 2, 0),
    ]
    assert.deepEqual([...good(await run(nexuses[0], toc({ 2: 2 })))], whole)
    assert.deepEqual([...good(await run(nexuses[0], toc({ 2: 2, 6: 1 })))], whole)
    invalidField(await run(nexuses[0], toc({ 2: 2, 6: 2 })), 6)
  })

  it("has no other formats; a DVD longer than an MSF address tells has the last one", async () => {
    const { run, nexuses } = cdBench(DVD_BLOCKS)
    for (const format of [3, 4, 5, 15]) invalidField(await run(nexuses[0], toc({ 2: format })), 2, 3)
    assert.deepEqual([...good(await run(nexuses[0], toc({ 1: 2, 6: 0xaa }))).subarray(8)], [0, 255, 59, 74])
  })
})

describe("GET CONFIGURATION", () => {
  const get = (type: number, first = 0, room = 0xff) =>
    cdbOf(0x46, { 1: type, 2: first >> 8, 3: first & 255, 8: room })
  const codesOf = (data: Uint8Array) => {
    const codes: string[] = []
    for (let at = 8; at < data.length; at += 4 + data[at + 3]!) {
      codes.push(`${((data[at]! << 8) | data[at + 1]!).toString(16)}${(data[at + 2]! & 1) === 1 ? "" : "-"}`)
    }
    return codes.join(" ")
  }

  it("tells the profile of the disc by its size, and what is current with it", async () => {
    for (const [blocks, profile, all] of [
      [undefined, 0x00, "0 1 2 3 10- 1e- 1f- 100 105 107-"],
      [CD_BLOCKS, 0x08, "0 1 2 3 10 1e 1f- 100 105 107"],
      [80 * 60 * 75, 0x08, "0 1 2 3 10 1e 1f- 100 105 107"],
      [80 * 60 * 75 + 1, 0x10, "0 1 2 3 10 1e- 1f 100 105 107"],
      [DVD_BLOCKS, 0x10, "0 1 2 3 10 1e- 1f 100 105 107"],
    ] as const) {
      const { run, nexuses } = cdBench(blocks)
      const data = good(await run(nexuses[0], get(0)))
      assert.deepEqual([...data.subarray(0, 8)], [...u32(data.length - 4), 0, 0, 0, profile])
      assert.equal(codesOf(data), all)
      const current = all
        .split(" ")
        .filter((code) => !code.endsWith("-"))
        .join(" ")
      assert.equal(codesOf(good(await run(nexuses[0], get(1)))), current)
    }
  })

  it("tells one feature, and those from one on", async () => {
    const { run, nexuses } = cdBench(DVD_BLOCKS)
    const [a] = nexuses
    const header = (bytes: number) => [...u32(bytes), 0, 0, 0, 0x10]
    const one = async (code: number) => [...good(await run(a, get(2, code)))]
    assert.deepEqual(await one(0), [...header(16), 0, 0, 0x03, 8, 0, 0x10, 1, 0, 0, 0x08, 0, 0])
    assert.deepEqual(await one(1), [...header(16), 0, 1, 0x0b, 8, 0, 0, 0, 1, 3, 0, 0, 0])
    assert.deepEqual(await one(3), [...header(12), 0, 3, 0x0b, 4, 0x3d, 0, 0, 0])
    assert.deepEqual(await one(0x10), [...header(16), 0, 0x10, 0x01, 8, 0, 0, 8, 0, 0, 16, 1, 0])
    assert.deepEqual(await one(0x1f), [...header(12), 0, 0x1f, 0x05, 4, 0, 0, 0, 0])
    assert.deepEqual(await one(0x20), header(4)) // not one of ours
    assert.equal(codesOf(good(await run(a, get(0, 0x1f)))), "1f 100 105 107")
    assert.equal(good(await run(a, get(0, 0, 8))).length, 8)
    invalidField(await run(a, get(3)), 1, 1)
  })
})

describe("READ DISC and TRACK INFORMATION", () => {
  it("tell of a finished disc of one session and one track", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const disc = [...good(await run(nexuses[0], cdbOf(0x51, { 8: 0xff })))]
    const none = [0xff, 0xff, 0xff, 0xff]
    assert.deepEqual(disc.slice(0, 16), [0, 32, 0x0e, 1, 1, 1, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0])
    assert.deepEqual(disc.slice(16), [...none, ...none, ...new Array<number>(10).fill(0)])
    invalidField(await run(nexuses[0], cdbOf(0x51, { 1: 1, 8: 0xff })), 1, 2)
  })

  it("finds the track by LBA, by track and by session", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const track = (type: number, address: number) => {
      const [b2 = 0, b3 = 0, b4 = 0, b5 = 0] = u32(address)
      return run(nexuses[0], cdbOf(0x52, { 1: type, 2: b2, 3: b3, 4: b4, 5: b5, 8: 0xff }))
    }
    for (const [type, address] of [
      [0, 0],
      [0, CD_BLOCKS - 1],
      [1, 1],
      [2, 1],
    ] as const) {
      const data = good(await track(type, address))
      assert.deepEqual([...data.subarray(0, 8)], [0, 46, 1, 1, 0, 4, 1, 0])
      assert.deepEqual([...data.subarray(8, 12)], [0, 0, 0, 0])
      assert.deepEqual([...data.subarray(24, 28)], u32(CD_BLOCKS))
      assert.equal(data.length, 48)
    }
    checkCondition(await track(0, CD_BLOCKS), illegalRequest, Asc.lbaOutOfRange)
    for (const [type, address] of [
      [1, 0],
      [1, 2],
      [1, 0xff],
      [2, 2],
    ] as const)
      invalidField(await track(type, address), 2)
    invalidField(await track(3, 1), 1, 1)
  })
})

describe("READ DISC STRUCTURE", () => {
  const structure = (format: number, layer = 0) => cdbOf(0xad, { 6: layer, 7: format, 8: 0x10 })

  it("tells of a DVD-ROM of one layer", async () => {
    const { run, nexuses } = cdBench(DVD_BLOCKS)
    const [a] = nexuses
    const physical = good(await run(a, structure(0)))
    assert.equal(physical.length, 2052)
    const area = [...u32(0x30000), ...u32(0x30000 + DVD_BLOCKS - 1), 0, 0, 0, 0]
    assert.deepEqual([...physical.subarray(0, 20)], [8, 2, 0, 0, 1, 0x0f, 1, 0, ...area])
    assert.deepEqual([...good(await run(a, structure(1)))], [0, 6, 0, 0, 0, 0, 0, 0])
    assert.equal(good(await run(a, structure(4))).length, 2052)
    const list = [0x00, 0x40, 8, 4, 0x01, 0x40, 0, 8, 0x04, 0x40, 8, 4]
    assert.deepEqual([...good(await run(a, structure(0xff)))], [0, 14, 0, 0, ...list])
    invalidField(await run(a, structure(3)), 7)
    invalidField(await run(a, structure(0, 1)), 6)
    invalidField(await run(a, cdbOf(0xad, { 1: 1, 8: 0x10 })), 1, 3)
  })

  it("finds none on a CD", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const task = await run(nexuses[0], structure(0))
    checkCondition(task, illegalRequest, Asc.cannotReadMediumIncompatibleFormat)
  })
})

describe("READ CD", () => {
  const readCd = (lba: number, blocks: number, main = 0x10, type = 0) =>
    cdbOf(0xbe, { 1: type << 2, 4: lba >> 8, 5: lba & 255, 8: blocks, 9: main })
  const readMsf = (from: number[], to: number[]) =>
    cdbOf(0xb9, { 3: from[0]!, 4: from[1]!, 5: from[2]!, 6: to[0]!, 7: to[1]!, 8: to[2]!, 9: 0x10 })

  it("reads the user data of mode 1 sectors", async () => {
    const { run, nexuses, disc } = cdBench(CD_BLOCKS)
    const [a] = nexuses
    disc?.bytes.set(pattern(2 * 2048), 7 * 2048)
    assert.deepEqual(good(await run(a, readCd(7, 2))), pattern(2 * 2048))
    assert.deepEqual(good(await run(a, readCd(7, 2, 0x10, 2))), pattern(2 * 2048))
    assert.deepEqual(good(await run(a, readMsf([0, 2, 7], [0, 2, 9]))), pattern(2 * 2048))
    assert.equal(good(await run(a, readCd(7, 2, 0))).length, 0)
    assert.equal(good(await run(a, readMsf([0, 2, 7], [0, 2, 7]))).length, 0)
  })

  it("refuses what an image doesn't have", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const [a] = nexuses
    for (const main of [0xf8, 0x80, 0x30, 0x18]) invalidField(await run(a, readCd(0, 1, main)), 9, 7)
    for (const type of [1, 3, 4, 5]) {
      checkCondition(await run(a, readCd(0, 1, 0x10, type)), illegalRequest, Asc.illegalModeForThisTrack)
    }
    for (const wrong of [cdbOf(0xbe, { 8: 1, 9: 0x10, 10: 1 })])
      checkCondition(await run(a, wrong), illegalRequest, Asc.invalidFieldInCdb)
    checkCondition(await run(a, cdbOf(0xbe, { 2: 1, 8: 1, 9: 0x10 })), illegalRequest, Asc.lbaOutOfRange)
    checkCondition(await run(a, cdbOf(0xbe, { 2: 1, 8: 1 })), illegalRequest, Asc.lbaOutOfRange)
    for (const from of [
      [0, 1, 74],
      [0, 60, 0],
      [0, 2, 75],
    ])
      invalidField(await run(a, readMsf(from, [0, 3, 0])), 3)
    for (const to of [
      [0, 2, 6],
      [0, 60, 0],
    ])
      invalidField(await run(a, readMsf([0, 2, 7], to)), 6)
  })
})

describe("the drive", () => {
  it("MECHANISM STATUS tells whether the door is open", async () => {
    const { run, nexuses, unit } = cdBench(CD_BLOCKS)
    const status = async () => [...good(await run(nexuses[0], cdbOf(0xbd, { 9: 8 })))]
    assert.deepEqual(await status(), [0, 0, 0, 0, 0, 1, 0, 0])
    await unit.drive.eject()
    assert.deepEqual(await status(), [0, 0x10, 0, 0, 0, 1, 0, 0])
  })

  it("SET CD SPEED and SET STREAMING are taken", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const [a] = nexuses
    good(await run(a, cdbOf(0xbb, { 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff })))
    const streaming = (start: number, end: number, bytes = 28) => {
      const list = Uint8Array.of(0, 0, 0, 0, ...u32(start), ...u32(end), ...new Array<number>(16).fill(0))
      return run(a, cdbOf(0xb6, { 10: bytes }), { dataOut: list.subarray(0, bytes) })
    }
    good(await streaming(0, CD_BLOCKS - 1))
    good(await streaming(0, 0, 0))
    checkCondition(await streaming(CD_BLOCKS, CD_BLOCKS), illegalRequest, Asc.invalidFieldInParameterList)
    checkCondition(await streaming(9, 8), illegalRequest, Asc.invalidFieldInParameterList)
    checkCondition(await streaming(0, 8, 27), illegalRequest, Asc.parameterListLengthError)
    invalidField(await run(a, cdbOf(0xb6, { 8: 1, 10: 28 })), 8)
  })

  it("GET PERFORMANCE tells one speed all over", async () => {
    const { run, nexuses } = cdBench(CD_BLOCKS)
    const [a] = nexuses
    const get = (bytes: Record<number, number>) => run(a, cdbOf(0xac, { 9: 4, ...bytes }))
    const speed = [0, 0, 0x56, 0x90]
    const nominal = [...u32(20), 0, 0, 0, 0, ...u32(9), ...speed, ...u32(CD_BLOCKS - 1), ...speed]
    assert.deepEqual([...good(await get({ 1: 0x10, 5: 9 }))], nominal)
    assert.deepEqual([...good(await get({ 9: 0 }))], [...u32(20), 0, 0, 0, 0])
    assert.deepEqual([...good(await get({ 1: 0x11 }))], [...u32(4), 1, 0, 0, 0])
    invalidField(await get({ 1: 0x04 }), 1, 2)
    invalidField(await get({ 10: 3 }), 10)
    checkCondition(await get({ 2: 1 }), illegalRequest, Asc.lbaOutOfRange)
  })
})
