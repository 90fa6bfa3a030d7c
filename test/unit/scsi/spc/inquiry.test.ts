import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { makeBench } from "../test-unit.ts"

const { illegalRequest } = SenseKey
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

describe("INQUIRY, standard data", () => {
  test("what the unit is", async () => {
    const { run } = makeBench()
    const data = good(await run(cdb.inquiry(512)))
    assert.equal(hex(data.subarray(0, 8)), "000006325b000002")
    assert.equal(text(data.subarray(8, 36)), "ACME    " + "test unit       " + "1.0 ")
    assert.equal(data.length, 96)
    assert.equal(hex(data.subarray(58, 74)), "00a00460" + "0".repeat(24))
  })

  test("cut to the allocation length, and to what the initiator takes; residuals count the first", async () => {
    const { run } = makeBench()
    for (const allocation of [0, 1, 5, 36, 95, 96, 97, 255, 256, 0xffff]) {
      const task = await run(cdb.inquiry(allocation))
      assert.equal(good(task).length, Math.min(allocation, 96))
      assert.equal(task.dataInBytes, Math.min(allocation, 96))
    }
    const short = await run(cdb.inquiry(96), { dataInBytesMax: 36 })
    assert.equal(good(short).length, 36)
    assert.equal(short.dataInBytes, 96)
    assert.equal(good(await run(cdb.inquiry(96), { dataInBytesMax: 0 })).length, 0)
    assert.equal(good(await run(cdb.inquiry(96), { buffers: "slow" })).length, 96)
  })

  test("PAGE CODE without EVPD is refused", async () => {
    const { run } = makeBench()
    const sense = checkCondition(await run([0x12, 0, 0x83, 0, 96, 0]), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 2 })
  })
})

describe("INQUIRY, vital product data", () => {
  test("page 00h lists the pages, each of which is there, rising", async () => {
    const { run } = makeBench()
    const data = good(await run(cdb.inquiry(255, 0x00)))
    assert.equal(hex(data), "00000004" + "00808386")
    for (const code of data.subarray(4)) {
      const page = good(await run(cdb.inquiry(1024, code)))
      assert.equal(page[1], code)
      assert.equal((page[2]! << 8) | page[3]!, page.length - 4)
    }
  })

  test("page 80h: the serial number", async () => {
    const { run } = makeBench()
    assert.equal(text(good(await run(cdb.inquiry(255, 0x80)))), "\x00\x80\x00\x06S-0001")
  })

  test("page 83h: the unit, the port and the device asked through", async () => {
    const { run } = makeBench()
    const data = good(await run(cdb.inquiry(1024, 0x83)))
    const found: [head: string, name: string][] = []
    for (let at = 4; at < data.length; at += 4 + data[at + 3]!) {
      found.push([hex(data.subarray(at, at + 3)), text(data.subarray(at + 4, at + 4 + data[at + 3]!))])
    }
    assert.deepEqual(found, [
      ["010300", "\x31\x02\x03\x04\x05\x06\x07\x08"],
      ["020100", "ACME    test"],
      ["519400", "\x00\x00\x00\x01"],
      ["539800", "iqn.2026-01.org.example:target,t,0x0001\0"],
      ["53a800", "iqn.2026-01.org.example:target\0\0"],
    ])
  })

  test("page 83h through a port of another transport names no protocol", async () => {
    const { target, unit, run } = makeBench()
    const nexus = new Nexus({
      initiatorName: "a",
      initiatorPortName: "a",
      targetPortName: "port",
      relativeTargetPort: 2,
    })
    target.attachNexus(nexus)
    unit.takeUnitAttention(nexus)
    const data = good(await run(cdb.inquiry(1024, 0x83), { nexus }))
    assert.equal(hex(data).slice(-40), "01140004" + "00000002" + "03180008" + "706f727400000000")
  })

  test("page 86h: task attributes, volatile cache, LUICLR", async () => {
    const { run, unit } = makeBench()
    const data = good(await run(cdb.inquiry(255, 0x86)))
    assert.equal(data.length, 64)
    assert.equal(hex(data.subarray(0, 8)), "0086003c" + "00070001")
    Object.defineProperty(unit, "volatileCache", { value: true })
    assert.equal(good(await run(cdb.inquiry(255, 0x86)))[6], 0x01)
  })

  test("a page that isn't there is refused", async () => {
    const { run } = makeBench()
    checkCondition(await run(cdb.inquiry(255, 0xb9)), illegalRequest, Asc.invalidFieldInCdb)
  })

  test("names longer than their fields are cut", async () => {
    const { run, unit } = makeBench()
    const identity = { ...unit.identity, vendor: "VENDOR-TOO-LONG" }
    Object.defineProperty(unit, "identity", { value: identity })
    assert.equal(text(good(await run(cdb.inquiry(96))).subarray(8, 16)), "VENDOR-T")
  })
})
