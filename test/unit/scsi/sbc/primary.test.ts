import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { type LogFields, silentLog } from "../../../../src/base/log.ts"
import { VolatileRecords } from "../../../../src/scsi/sam/unit-records.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { testNexus } from "../../../suites/scsi-task.ts"
import { blockCdb, makeDisk, nexus, pattern } from "./disk.ts"

const { illegalRequest, dataProtect } = SenseKey
const modeSense6 = (page: number) => Uint8Array.of(0x1a, 0, page, 0, 255, 0)
const modeSelect6 = (bytes: number) => Uint8Array.of(0x15, 0x10, 0, 0, bytes, 0)

describe("a disk asked for what every logical unit tells", () => {
  it("lists its VPD pages, those of SBC-3 with them", async () => {
    const page = await makeDisk().good(Uint8Array.of(0x12, 1, 0, 0, 255, 0))
    assert.deepEqual([...page.subarray(4)], [0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2])
    for (const code of [0xb0, 0xb1, 0xb2]) {
      const data = await makeDisk().good(Uint8Array.of(0x12, 1, code, 0, 255, 0))
      assert.deepEqual([data[0], data[1], data[3]], [0, code, data.length - 4])
    }
  })

  it("has no referrals, streams or zones, and says so", async () => {
    const disk = makeDisk()
    for (const code of [0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9]) {
      await disk.fails(Uint8Array.of(0x12, 1, code, 0, 255, 0), illegalRequest, Asc.invalidFieldInCdb)
    }
    const extended = await disk.good(Uint8Array.of(0x12, 1, 0x86, 0, 64, 0))
    assert.equal(extended[8]! & 0x10, 0, "R_SUP")
    const reportReferrals = new Uint8Array(16)
    reportReferrals.set([0x9e, 0x13])
    await disk.fails(reportReferrals, illegalRequest, Asc.invalidFieldInCdb)
    const characteristics = await disk.good(Uint8Array.of(0x12, 1, 0xb1, 0, 64, 0))
    assert.equal((characteristics[8]! >> 4) & 3, 0, "ZONED")
  })

  it("answers INQUIRY as a direct access block device that follows SBC-3", async () => {
    const data = Buffer.from(await makeDisk().good(Uint8Array.of(0x12, 0, 0, 0, 255, 0)))
    assert.equal(data[0], 0)
    assert.equal(data.toString("ascii", 8, 16), "sanlet  ")
    const versions = Array.from({ length: 8 }, (_, i) => data.readUInt16BE(58 + 2 * i))
    assert.ok(versions.includes(0x04c0))
  })

  it("shows all mode pages behind a block descriptor", async () => {
    const disk = makeDisk({ readOnly: true })
    const data = await disk.good(modeSense6(0x3f))
    assert.deepEqual([data[0], data[2], data[3]], [data.length - 1, 0x90, 8])
    assert.deepEqual([...data.subarray(4, 12)], [0, 0, 0, 64, 0, 0, 2, 0])
    const codes: number[] = []
    for (let at = 12; at < data.length; at += 2 + data[at + 1]!) codes.push(data[at]!)
    assert.deepEqual(codes, [0x01, 0x08, 0x0a, 0x1c])
  })

  it("clears WCE by MODE SELECT, and tells the other nexus", async () => {
    const disk = makeDisk()
    const other = testNexus("other")
    disk.unit.attachNexus(other)
    const parameters = await disk.good(modeSense6(0x08))
    parameters[0] = 0
    parameters[14]! &= ~0x04
    await disk.good(modeSelect6(parameters.length), { dataOut: parameters })
    assert.equal((await disk.good(modeSense6(0x08)))[14], 0)
    await disk.good(blockCdb(0x2a, 0, 1), { dataOut: pattern(512) })
    assert.deepEqual(disk.device.calls, ["flush", "write 0+512 fua"])
    assert.equal(disk.unit.takeUnitAttention(other), Asc.modeParametersChanged)
    parameters[14]! |= 0x01 // RCD can't be set
    const options = { dataOut: parameters }
    await disk.fails(modeSelect6(parameters.length), illegalRequest, Asc.invalidFieldInParameterList, options)
  })

  it("is write protected by SWP of the control mode page", async () => {
    const disk = makeDisk()
    const parameters = await disk.good(modeSense6(0x0a))
    parameters[0] = 0
    parameters[16]! |= 0x08
    await disk.good(modeSelect6(parameters.length), { dataOut: parameters })
    const dataOut = pattern(512)
    await disk.fails(blockCdb(0x2a, 0, 1), dataProtect, Asc.logicalUnitSoftwareWriteProtected, { dataOut })
  })

  it("keeps what damaged saved pages may have protected, and says so", async () => {
    const records = new VolatileRecords()
    await records.put("mode-pages", Uint8Array.of(0x7b))
    const said: string[] = []
    const log = { ...silentLog, error: (_: LogFields, message: string) => void said.push(message) }
    const disk = makeDisk({ records, log })
    assert.equal(said.length, 1)
    assert.match(said[0]!, /write-protected/)
    const dataOut = pattern(512)
    await disk.fails(blockCdb(0x2a, 0, 1), dataProtect, Asc.logicalUnitSoftwareWriteProtected, { dataOut })
    assert.equal((await disk.good(modeSense6(0x08)))[14], 0, "WCE may have been cleared")
    const parameters = await disk.good(modeSense6(0x0a))
    parameters[0] = 0
    parameters[12]! &= ~0x80
    parameters[16]! &= ~0x08
    const saving = Uint8Array.of(0x15, 0x11, 0, 0, parameters.length, 0)
    await disk.good(saving, { dataOut: parameters })
    await disk.good(blockCdb(0x2a, 0, 1), { dataOut })
    assert.equal(makeDisk({ records, log }).unit.writeProtected, false)
    assert.equal(said.length, 1)
  })

  it("reports the usage of each command as its table has it", async () => {
    const disk = makeDisk()
    for (const { name, opcode, serviceAction, usage, offered } of disk.unit.commands) {
      if (offered?.(nexus) === false) continue
      const cdb = Uint8Array.of(
        0xa3,
        0x0c,
        serviceAction === undefined ? 1 : 2,
        opcode,
        0,
        serviceAction ?? 0,
        0,
        0,
        1,
        0,
        0,
        0,
      )
      const data = Buffer.from(await disk.good(cdb))
      assert.equal(data.readUInt16BE(2), usage.length, name)
      const controlAt = opcode === 0x7f ? 1 : usage.length - 1
      const naca = usage.map((bits, at) => (at === controlAt ? bits | 0x04 : bits))
      assert.deepEqual([...data.subarray(4)], naca, name)
    }
  })

  it("stopped, isn't ready, yet answers INQUIRY and MODE SENSE", async () => {
    const disk = makeDisk()
    await disk.good(Uint8Array.of(0x1b, 0, 0, 0, 0, 0))
    await disk.fails(new Uint8Array(6), SenseKey.notReady, Asc.logicalUnitNotReadyInitializingCommandRequired)
    await disk.good(Uint8Array.of(0x12, 0, 0, 0, 36, 0))
    await disk.good(modeSense6(0x3f))
  })
})
