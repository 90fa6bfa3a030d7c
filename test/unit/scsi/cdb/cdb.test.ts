import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { checkUsage, commandTable } from "../../../../src/scsi/sam/command-table.ts"
import { diskCommands } from "../../../../src/scsi/sbc/commands.ts"
import { cdbBytesOf } from "../../../../src/scsi/spec/operation-code.ts"

const FUA = cdb.BlockFlag.fua

/** What each builder makes, held against the tables of SPC-4 and SBC-3. */
const golden: readonly (readonly [name: string, made: Uint8Array, bytes: string])[] = [
  ["TEST UNIT READY", cdb.testUnitReady(), "00 00 00 00 00 00"],
  ["REQUEST SENSE", cdb.requestSense(252), "03 00 00 00 fc 00"],
  ["REQUEST SENSE, descriptor", cdb.requestSense(18, true), "03 01 00 00 12 00"],
  ["INQUIRY", cdb.inquiry(0x0124), "12 00 00 01 24 00"],
  ["INQUIRY, VPD", cdb.inquiry(255, 0x83), "12 01 83 00 ff 00"],
  ["INQUIRY, VPD page 0", cdb.inquiry(255, 0), "12 01 00 00 ff 00"],
  ["MODE SENSE (6)", cdb.modeSense6(0x3f, 192), "1a 00 3f 00 c0 00"],
  [
    "MODE SENSE (6), all options",
    cdb.modeSense6(0x0a, 12, {
      subpage: 1,
      control: cdb.PageControl.changeable,
      withoutBlockDescriptors: true,
    }),
    "1a 08 4a 01 0c 00",
  ],
  [
    "MODE SENSE (10)",
    cdb.modeSense10(0x08, 0x1234, { control: cdb.PageControl.default, longLba: true }),
    "5a 10 88 00 00 00 00 12 34 00",
  ],
  ["MODE SELECT (6)", cdb.modeSelect6(24), "15 10 00 00 18 00"],
  ["MODE SELECT (10)", cdb.modeSelect10(0x0130, true), "55 11 00 00 00 00 00 01 30 00"],
  ["REPORT LUNS", cdb.reportLuns(0x01020304, 2), "a0 00 02 00 00 00 01 02 03 04 00 00"],
  ["RESERVE (6)", cdb.reserve6(), "16 00 00 00 00 00"],
  ["RELEASE (6)", cdb.release6(), "17 00 00 00 00 00"],
  ["RESERVE (10)", cdb.reserve10(), "56 00 00 00 00 00 00 00 00 00"],
  ["RELEASE (10)", cdb.release10(), "57 00 00 00 00 00 00 00 00 00"],
  ["PREVENT", cdb.preventAllowMediumRemoval(true), "1e 00 00 00 01 00"],
  ["ALLOW", cdb.preventAllowMediumRemoval(false), "1e 00 00 00 00 00"],
  ["LOG SENSE", cdb.logSense(0x19, 0x1234, { pointer: 0x102, subpage: 3 }), "4d 00 59 03 00 01 02 12 34 00"],
  ["LOG SENSE, thresholds", cdb.logSense(0x02, 255, { control: 0 }), "4d 00 02 00 00 00 00 00 ff 00"],
  ["LOG SELECT", cdb.logSelect(0, { page: 0x02, reset: true, control: 3 }), "4c 02 c2 00 00 00 00 00 00 00"],
  ["LOG SELECT, list", cdb.logSelect(0x102), "4c 00 40 00 00 00 00 01 02 00"],
  ["SEND DIAGNOSTIC, background", cdb.backgroundSelfTest(2), "1d 40 00 00 00 00"],
  ["SEND DIAGNOSTIC", cdb.selfTest(), "1d 04 00 00 00 00"],
  ["RSOC, all", cdb.reportSupportedOperationCodes(8192), "a3 0c 00 00 00 00 00 00 20 00 00 00"],
  [
    "RSOC, one",
    cdb.reportSupportedOperationCodes(512, { opcode: 0x28, timeouts: true }),
    "a3 0c 81 28 00 00 00 00 02 00 00 00",
  ],
  [
    "RSOC, service action",
    cdb.reportSupportedOperationCodes(512, { opcode: 0x9e, serviceAction: 0x12 }),
    "a3 0c 02 9e 00 12 00 00 02 00 00 00",
  ],
  ["RSTMF", cdb.reportSupportedTaskManagementFunctions(16, true), "a3 0d 80 00 00 00 00 00 00 10 00 00"],
  ["READ (6)", cdb.read6(0x12345, 256), "08 01 23 45 00 00"],
  ["WRITE (6)", cdb.write6(0x1fffff, 1), "0a 1f ff ff 01 00"],
  ["READ (10)", cdb.read10(0xfedcba98, 0xffff), "28 00 fe dc ba 98 00 ff ff 00"],
  ["WRITE (10)", cdb.write10(1, 2, FUA), "2a 08 00 00 00 01 00 00 02 00"],
  ["READ (12)", cdb.read12(1, 0x01020304), "a8 00 00 00 00 01 01 02 03 04 00 00"],
  ["WRITE (12)", cdb.write12(1, 2, cdb.BlockFlag.dpo), "aa 10 00 00 00 01 00 00 00 02 00 00"],
  ["READ (16)", cdb.read16(2 ** 32 + 5, 3), "88 00 00 00 00 01 00 00 00 05 00 00 00 03 00 00"],
  ["WRITE (16)", cdb.write16(2 ** 53 - 1, 1), "8a 00 00 1f ff ff ff ff ff ff 00 00 00 01 00 00"],
  ["VERIFY (10)", cdb.verify10(1, 2, cdb.ByteCheck.all), "2f 02 00 00 00 01 00 00 02 00"],
  ["VERIFY (12)", cdb.verify12(1, 2), "af 00 00 00 00 01 00 00 00 02 00 00"],
  ["VERIFY (16)", cdb.verify16(1, 2, cdb.ByteCheck.one), "8f 06 00 00 00 00 00 00 00 01 00 00 00 02 00 00"],
  ["WRITE AND VERIFY (10)", cdb.writeAndVerify10(1, 2), "2e 00 00 00 00 01 00 00 02 00"],
  ["WRITE AND VERIFY (12)", cdb.writeAndVerify12(1, 2), "ae 00 00 00 00 01 00 00 00 02 00 00"],
  ["WRITE AND VERIFY (16)", cdb.writeAndVerify16(1, 2), "8e 00 00 00 00 00 00 00 00 01 00 00 00 02 00 00"],
  ["ORWRITE (16)", cdb.orWrite16(1, 2), "8b 00 00 00 00 00 00 00 00 01 00 00 00 02 00 00"],
  ["COMPARE AND WRITE", cdb.compareAndWrite(7, 3, FUA), "89 08 00 00 00 00 00 00 00 07 00 00 00 03 00 00"],
  ["WRITE SAME (10)", cdb.writeSame10(1, 2, cdb.WriteSameBit.unmap), "41 08 00 00 00 01 00 00 02 00"],
  [
    "WRITE SAME (16)",
    cdb.writeSame16(1, 0, cdb.WriteSameBit.noDataOutBuffer),
    "93 01 00 00 00 00 00 00 00 01 00 00 00 00 00 00",
  ],
  ["SYNCHRONIZE CACHE (10)", cdb.synchronizeCache10(), "35 00 00 00 00 00 00 00 00 00"],
  [
    "SYNCHRONIZE CACHE (16)",
    cdb.synchronizeCache16(1, 2, cdb.BlockFlag.immed),
    "91 02 00 00 00 00 00 00 00 01 00 00 00 02 00 00",
  ],
  ["PRE-FETCH (10)", cdb.preFetch10(1, 2), "34 00 00 00 00 01 00 00 02 00"],
  ["PRE-FETCH (16)", cdb.preFetch16(1, 2), "90 00 00 00 00 00 00 00 00 01 00 00 00 02 00 00"],
  ["READ CAPACITY (10)", cdb.readCapacity10(), "25 00 00 00 00 00 00 00 00 00"],
  ["READ CAPACITY (16)", cdb.readCapacity16(), "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00"],
  ["GET LBA STATUS", cdb.getLbaStatus(9, 24), "9e 12 00 00 00 00 00 00 00 09 00 00 00 18 00 00"],
  ["UNMAP", cdb.unmap(24), "42 00 00 00 00 00 00 00 18 00"],
  ["START UNIT", cdb.startStopUnit(true), "1b 00 00 00 01 00"],
  [
    "STOP UNIT, all options",
    cdb.startStopUnit(false, { immediate: true, loadOrEject: true, noFlush: true, powerCondition: 3 }),
    "1b 01 00 00 36 00",
  ],
]

describe("CDB builders", () => {
  for (const [name, made, bytes] of golden) {
    test(name, () => {
      assert.equal(Buffer.from(made).toString("hex"), bytes.replaceAll(" ", ""))
      assert.equal(made.length, cdbBytesOf(made[0]!), "as long as its group says")
    })
  }

  test("a disk knows each of them, bit by bit", () => {
    const table = commandTable(
      diskCommands({ thin: true, atomicWrites: true, renewable: true, identifiable: true }),
    )
    for (const [, made] of golden) {
      const command = table.find(made)
      assert.ok(command, "no unknown command")
      assert.equal(command.usage.length, made.length)
      checkUsage(command, made, { normalAca: false })
    }
  })

  test("an UNMAP parameter list", () => {
    const list = cdb.unmapParameterList([
      { lba: 1, blocks: 2 },
      { lba: 2 ** 33, blocks: 0xffffffff },
    ])
    assert.equal(
      Buffer.from(list).toString("hex"),
      "0026002000000000" + "00000000000000010000000200000000" + "0000000200000000ffffffff00000000",
    )
  })

  test("LBAs and lengths come back out of the bytes", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), fc.maxSafeNat(), fc.nat(0xffff), (blocks, lba, few) => {
        const wide = Buffer.from(cdb.read16(lba, blocks))
        assert.equal(wide.readBigUInt64BE(2), BigInt(lba))
        assert.equal(wide.readUInt32BE(10), blocks)
        const narrow = Buffer.from(cdb.write10(lba % 2 ** 32, few))
        assert.equal(narrow.readUInt32BE(2), lba % 2 ** 32)
        assert.equal(narrow.readUInt16BE(7), few)
      }),
    )
  })
})
