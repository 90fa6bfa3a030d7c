/** Commands that read, write, compare and unmap blocks. What they did is looked up in the image itself. */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { before, describe, test } from "node:test"
import { Lun, type SgRig } from "./vm-sg3.ts"
import { ExitCode } from "./vm-sg3-tools.ts"

const BLOCK = 512
const zeroes = (blocks: number): Buffer => Buffer.alloc(blocks * BLOCK)
const repeated = (block: Uint8Array, times: number): Buffer => Buffer.concat(Array(times).fill(block))

export function blocks(rig: SgRig): void {
  const data = randomBytes(64 * BLOCK)
  const one = data.subarray(0, BLOCK)
  let sg = ""
  before(async () => {
    sg = rig.disk(Lun.thin).sg
    await rig.calm(sg)
    await rig.guest.write("/tmp/data", data)
    await rig.guest.write("/tmp/one", one)
    await rig.sh("head -c 4096 data > eight; tr '\\0' '\\377' < /dev/zero | head -c 512 > ones")
  })
  const eight = data.subarray(0, 8 * BLOCK)
  const stored = (lba: number, count: number) => rig.stored("thin", lba * BLOCK, count * BLOCK)
  const holds = (lba: number, expected: Buffer) =>
    assert.ok(
      stored(lba, expected.length / BLOCK).equals(expected),
      `from LBA ${lba} on it is something else`,
    )

  describe("sg_dd", () => {
    const sizes: readonly (readonly [number, string, string])[] = [
      [6, "cdbsz=6", "cdbsz=6"],
      [10, "cdbsz=10 oflag=fua,dpo", "cdbsz=10 iflag=fua,dpo"],
      [12, "cdbsz=12 oflag=fua", "cdbsz=12 iflag=dpo"],
      [16, "cdbsz=16 coe=1 oflag=dpo,fua", "cdbsz=16 coe=1 iflag=fua"],
    ]
    for (const [size, writing, reading] of sizes) {
      test(`CDBs of ${size} bytes: ${writing}; ${reading}`, async () => {
        const lba = 1000 + size * 100
        await rig.write(sg, lba, data, writing)
        holds(lba, data)
        assert.ok((await rig.read(sg, lba, 64, reading)).equals(data))
      })
    }

    test("beyond the end, and to a read-only unit", async () => {
      await rig.refused(
        `sg_dd if=${sg} of=/dev/null bs=512 skip=131071 count=2 verbose=1`,
        ExitCode.lbaOutOfRange,
        /./,
      )
      const readOnly = rig.disk(Lun.readOnly).sg
      await rig.refused(
        `sg_raw -i one -s 512 ${readOnly} 2a 0 0 0 0 0 0 0 1 0`,
        ExitCode.dataProtect,
        /Write protected/,
      )
    })
  })

  describe("provisioning", () => {
    /** Runs of the same status: [first LBA, blocks, is it unmapped]. */
    async function status(lba: number): Promise<[number, number, boolean]> {
      const said = await rig.sh(`sg_get_lba_status -b -l ${lba} ${sg}`)
      const [, at, count, state] = /^(0x[0-9a-f]+) +(0x[0-9a-f]+) +(\d)/m.exec(said) ?? assert.fail(said)
      return [Number(at), Number(count), state === "1"]
    }

    test("sg_get_lba_status: written and unmapped areas", async () => {
      await rig.sh(`sg_unmap -f -l 8192 -n 8192 ${sg}`)
      await rig.write(sg, 10_240, data)
      assert.deepEqual(await status(8192), [8192, 2048, true])
      assert.deepEqual(await status(10_240), [10_240, 64, false])
      assert.deepEqual(await status(10_250), [10_250, 54, false])
      assert.equal((await status(10_304))[2], true)
      const several = await rig.sh(`sg_get_lba_status -m 88 -l 8192 ${sg}`)
      assert.match(several, /2048 {2}deallocated\n.* 64 {2}mapped/)
      await rig.refused(`sg_get_lba_status -l 131072 ${sg}`, ExitCode.lbaOutOfRange, "LBA out of range")
      await rig.refused(`sg_get_lba_status -T ${sg}`, ExitCode.invalidOperationCode, /./) // the 32-byte one
      const readOnly = rig.disk(Lun.readOnly).sg
      assert.match(await rig.sh(`sg_get_lba_status -b ${readOnly}`), /0x4000 {2}0 {2}0/)
    })

    test("sg_unmap: one range, a list of them, all", async () => {
      await rig.write(sg, 12_288, data)
      await rig.sh(`sg_unmap -f -l 12296 -n 16 ${sg}`)
      holds(12_288, Buffer.concat([data.subarray(0, 8 * BLOCK), zeroes(16), data.subarray(24 * BLOCK)]))
      assert.deepEqual(await status(12_296), [12_296, 16, true])
      await rig.sh(`printf '12320,8\\n12336,8\\n' > list; sg_unmap -f -I list ${sg}`)
      assert.deepEqual(await status(12_320), [12_320, 8, true])
      assert.deepEqual(await status(12_328), [12_328, 8, false])
      assert.deepEqual(await status(12_336), [12_336, 8, true])
      await rig.sh(`sg_unmap -f --all=12288,4096 ${sg}`)
      holds(12_288, zeroes(64))
      assert.deepEqual(await status(12_288), [12_288, 131_072 - 12_288, true])
    })

    test("sg_unmap: no anchors, no blocks that aren't there", async () => {
      await rig.refused(`sg_unmap -f -a -l 0 -n 8 ${sg}`, ExitCode.illegalRequest, "bad field in UNMAP cdb")
      await rig.refused(`sg_unmap -f -l 131071 -n 2 ${sg}`, ExitCode.lbaOutOfRange, "LBA out of range")
    })

    test("sg_write_same with UNMAP and NDOB", async () => {
      await rig.write(sg, 16_384, data)
      await rig.sh(`sg_write_same -U -l 16384 -n 16 ${sg}`)
      assert.deepEqual(await status(16_384), [16_384, 16, true])
      await rig.sh(`sg_write_same -N -l 16400 -n 3 ${sg}`)
      await rig.sh(`sg_write_same -U -l 16408 -n 8 ${sg}`)
      holds(
        16_384,
        Buffer.concat([
          zeroes(19),
          data.subarray(19 * BLOCK, 24 * BLOCK),
          zeroes(8),
          data.subarray(32 * BLOCK),
        ]),
      )
    })
  })

  test("sg_write_same: 10 and 16 bytes, all ones, and what is refused", async () => {
    await rig.sh(`sg_write_same -R -i one -l 20000 -n 7 ${sg} && sg_write_same -S -i one -l 20007 -n 7 ${sg}`)
    await rig.sh(`sg_write_same -f -l 20014 -n 2 ${sg}`)
    holds(20_000, Buffer.concat([repeated(one, 14), Buffer.alloc(2 * BLOCK, 0xff)]))
    const refused = (options: string, code: number) =>
      rig.refused(`sg_write_same -i one ${options} ${sg}`, code, /sg_write_same failed/)
    await refused("-l 0 -n 0", ExitCode.illegalRequest) // WSNZ
    await refused("-l 131000 -n 200", ExitCode.lbaOutOfRange)
    await refused("-L -l 0 -n 1", ExitCode.illegalRequest) // LBDATA
    await refused("-S -a -U -l 0 -n 1", ExitCode.illegalRequest) // ANCHOR
    await refused("-w 1 -l 0 -n 1", ExitCode.illegalRequest) // WRPROTECT
    await refused("-T -l 0 -n 1", ExitCode.invalidOperationCode) // 32 bytes are for protection of type 2 (SBC-3 §5)
  })

  test("sg_verify: the medium alone, against data, against one block", async () => {
    await rig.write(sg, 21_000, data)
    await rig.sh(
      `sg_verify -l 21000 -c 64 ${sg} && sg_verify -S -l 21000 -c 64 ${sg} && sg_verify -d -l 0 -c 1 ${sg}`,
    )
    await rig.sh(
      `sg_verify -l 21000 -c 8 -n 4096 -i eight ${sg} && sg_verify -S -l 21000 -c 8 -n 4096 -i eight ${sg}`,
    )
    await rig.refused(`sg_verify -l 21001 -c 8 -n 4096 -i eight ${sg}`, ExitCode.miscompare, /[Mm]iscompare/)
    await rig.sh(
      `sg_write_same -i one -l 21100 -n 8 ${sg} && sg_verify -E 3 -l 21100 -c 8 -n 512 -i one ${sg}`,
    )
    await rig.refused(
      `sg_verify -E 3 -l 21100 -c 8 -n 512 -i ones ${sg}`,
      ExitCode.miscompare,
      /[Mm]iscompare/,
    )
    await rig.refused(`sg_verify -l 131071 -c 2 ${sg}`, ExitCode.lbaOutOfRange, "LBA out of range")
  })

  test("sg_compare_and_write: as it was, once; then not again", async () => {
    await rig.write(sg, 22_000, zeroes(2))
    await rig.sh("head -c 512 /dev/zero > zero; cat zero one > both")
    const command = (options: string) => `sg_compare_and_write -n 1 -x 1024 ${options} ${sg}`
    await rig.sh(command("-i both -l 22000"))
    holds(22_000, Buffer.concat([one, zeroes(1)]))
    const said = await rig.refused(
      command("-i both -l 22000"),
      ExitCode.miscompare,
      "Miscompare at byte offset",
    )
    const different = one.findIndex((byte) => byte !== 0)
    assert.match(said, new RegExp(`byte offset: ${different} `))
    holds(22_000, one)
    await rig.sh(`sg_compare_and_write -n 1 --fua --dpo -C zero -D one -l 22001 ${sg}`)
    holds(22_001, one)
    await rig.refused(command("-i both -l 22001 --wrprotect=1"), ExitCode.illegalRequest, "Illegal request")
  })

  test("sg_write_verify: with and without comparing", async () => {
    await rig.sh(
      `sg_write_verify -i eight -l 23000 -n 8 ${sg} && sg_write_verify -S -b 1 -i eight -l 23008 -n 8 ${sg}`,
    )
    holds(23_000, repeated(eight, 2))
  })

  describe("sg_write_x", () => {
    const write = (options: string) => rig.sh(`sg_write_x ${options} ${sg}`)
    const refused = (options: string, code: number) => rig.refused(`sg_write_x ${options} ${sg}`, code, /./)

    test("WRITE (16); 32 bytes are for protection of type 2", async () => {
      await write("--normal -6 -i eight -l 24000 -n 8 -f")
      await refused("--normal -3 -i one -l 24000 -n 1", ExitCode.invalidOperationCode)
      holds(24_000, eight)
    })

    test("WRITE ATOMIC; no atomic boundary", async () => {
      await write("--atomic=0 -6 -i data -l 24101 -n 64 -f")
      holds(24_101, data)
      await refused("--atomic=4 -6 -i eight -l 24101 -n 8", ExitCode.illegalRequest)
    })

    test("ORWRITE (16)", async () => {
      await rig.write(sg, 24_200, data.subarray(8 * BLOCK, 16 * BLOCK))
      await write("--or -6 -i eight -l 24200 -n 8")
      const before = data.subarray(8 * BLOCK, 16 * BLOCK)
      holds(24_200, Buffer.from(before.map((byte, i) => byte | eight[i]!)))
      await refused("--or -3 -i eight -l 24200 -n 8", ExitCode.invalidOperationCode) // (32) isn't known
    })

    test("WRITE SAME; neither streams nor scattered writes", async () => {
      await write("--same=0 -6 -i one -l 24300 -n 5")
      holds(24_300, repeated(one, 5))
      await refused("--stream=1 -6 -i eight -l 24300 -n 8", ExitCode.invalidOperationCode)
      const scattered = `sg_raw -s 512 -i one ${sg} 9f 12 0 0 0 0 0 0 0 0 0 1 0 0 0 0`
      await rig.refused(scattered, ExitCode.invalidOperationCode, /Invalid command operation code/)
    })
  })

  test("sg_reassign and defect lists; sg_sync", async () => {
    await rig.write(sg, 25_000, data)
    await rig.sh(`sg_reassign -a 25000 ${sg} && sg_reassign -e 1 -l 1 -a 25001,25002 ${sg}`)
    holds(25_000, data)
    assert.match(await rig.sh(`sg_reassign -g ${sg}`), /Elements in grown defect list: 0/)
    await rig.refused(`sg_reassign -a 131072 ${sg}`, ExitCode.lbaOutOfRange, "LBA out of range")
    await rig.sh(
      `sg_sync ${sg} && sg_sync -l 5 -c 100 ${sg} && sg_sync -S -l 5 -c 100 ${sg} && sg_sync -i ${sg}`,
    )
    await rig.refused(`sg_sync -l 131073 ${sg}`, ExitCode.lbaOutOfRange, "LBA out of range")
  })

  describe("protection information", () => {
    const hex = (...bytes: readonly number[]) => bytes.map((byte) => byte.toString(16)).join(" ")
    const lba32 = (lba: number) => [0, 0, 0, 0, 0, 0, lba >> 8, lba & 0xff]

    test("type 1: the reference tag is the LBA, the guard the CRC", async () => {
      const type1 = rig.disk(Lun.type1).sg
      await rig.write(type1, 0x500, data)
      await rig.sh(`sg_raw -r 520 -o tuple ${type1} ${hex(0x28, 0x20, 0, 0, 5, 3, 0, 0, 1, 0)}`)
      const tuple = Buffer.from(await rig.sh("base64 -w0 tuple"), "base64")
      assert.ok(tuple.subarray(0, BLOCK).equals(data.subarray(3 * BLOCK, 4 * BLOCK)))
      assert.equal(tuple.readUInt32BE(516), 0x503)
      await rig.sh(`sg_raw -i tuple -s 520 ${type1} ${hex(0x2a, 0x20, 0, 0, 5, 3, 0, 0, 1, 0)}`)
      const elsewhere = `sg_raw -i tuple -s 520 ${type1} ${hex(0x2a, 0x20, 0, 0, 5, 4, 0, 0, 1, 0)}`
      await rig.refused(elsewhere, ExitCode.protectionInformation, /Logical block reference tag check failed/)
    })

    test("type 2: 32 bytes carry the tag, sg_write_x and sg_raw", async () => {
      const type2 = rig.disk(Lun.type2).sg
      const read32 = (tag: number, protect: number, lba: number) =>
        hex(
          0x7f,
          0,
          0,
          0,
          0,
          0,
          0,
          0x18,
          0,
          9,
          protect,
          0,
          ...lba32(lba),
          0,
          0,
          tag >> 8,
          tag & 0xff,
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          1,
        )
      await rig.sh(`sg_write_x --normal -3 --ref-tag=0x700 --app-tag=0 -i one -l 0x600 -n 1 ${type2}`)
      assert.ok((await rig.read(type2, 0x600, 1)).equals(one))
      await rig.sh(`sg_raw -r 520 -o tuple ${type2} ${read32(0x700, 0x20, 0x600)}`)
      const tuple = Buffer.from(await rig.sh("base64 -w0 tuple"), "base64")
      assert.ok(tuple.subarray(0, BLOCK).equals(one))
      assert.equal(tuple.readUInt32BE(516), 0x700)
      await rig.refused(
        `sg_raw -r 520 ${type2} ${read32(0x701, 0x20, 0x600)}`,
        ExitCode.protectionInformation,
        /reference tag check failed/,
      )
      // Without 32 bytes there is no tag to check against (SBC-3 §4.22.2).
      await rig.refused(
        `sg_raw -r 520 ${type2} ${hex(0x28, 0x20, 0, 0, 6, 0, 0, 0, 1, 0)}`,
        ExitCode.invalidOperationCode,
        /Invalid command operation code/,
      )
    })

    test("type 2: WRITE and WRITE SAME (32) that carry none; ORWRITE (32) isn't known", async () => {
      const type2 = rig.disk(Lun.type2).sg
      await rig.sh(`sg_write_x --normal -3 -i eight -l 0x700 -n 8 -d ${type2}`)
      await rig.sh(
        `sg_write_same -T -i one -l 0x708 -n 7 ${type2} && sg_write_same -U -T -l 0x702 -n 2 ${type2}`,
      )
      const written = repeated(eight, 1).fill(0, 2 * BLOCK, 4 * BLOCK)
      assert.ok((await rig.read(type2, 0x700, 15)).equals(Buffer.concat([written, repeated(one, 7)])))
      const or = `sg_write_x --or -3 -i eight -l 0x700 -n 8 ${type2}`
      await rig.refused(or, ExitCode.illegalRequest, /./)
    })
  })
}
