/** Third-party copies: EXTENDED COPY by sg_xcopy and ddpt, ROD tokens by ddptctl, and by lists of our own. */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { before, describe, test } from "node:test"
import { Lun, type SgRig } from "./vm-sg3.ts"
import { ExitCode, numberOf } from "./vm-sg3-tools.ts"

const BLOCK = 512

export function copies(rig: SgRig): void {
  const data = randomBytes(2048 * BLOCK)
  const FROM = 40_960
  let source = ""
  let target = ""
  before(async () => {
    source = rig.disk(Lun.thin).sg
    target = rig.disk(Lun.copy).sg
    await rig.calm(source, target)
    await rig.write(source, FROM, data)
  })
  const part = (block: number, count: number) => data.subarray(block * BLOCK, (block + count) * BLOCK)
  const copied = (lba: number, expected: Buffer) =>
    assert.ok(
      rig.stored("copy", lba * BLOCK, expected.length).equals(expected),
      `from LBA ${lba} on it is something else`,
    )

  describe("EXTENDED COPY (LID1)", () => {
    for (const [name, tool, to] of [
      ["sg_xcopy, told to the source", "sg_xcopy", 1001],
      ["sg_xcopy, told to the destination", "sg_xcopy --on_dst", 4001],
      ["ddpt", "ddpt --xcopy", 7001],
    ] as const) {
      test(`${name}: odd lengths, and not a block more`, async () => {
        const behind = randomBytes(BLOCK)
        await rig.write(target, to + 1999, behind)
        await rig.sh(`${tool} if=${source} of=${target} bs=512 skip=${FROM + 3} seek=${to} count=1999`)
        copied(to, Buffer.concat([part(3, 1999), behind]))
      })
    }

    test("in pieces, within one unit, and to longer blocks", async () => {
      // Not by ddpt 0.97, whose second and later commands copy what the first has copied (a_xcopy_lid1_cmd(): src_lba).
      await rig.sh(`sg_xcopy if=${source} of=${target} bs=512 skip=${FROM} seek=10001 count=1000 bpt=77`)
      copied(10_001, part(0, 1000))
      await rig.sh(`sg_xcopy if=${target} of=${target} bs=512 skip=10001 seek=12001 count=500`)
      copied(12_001, part(0, 500))
      const long = rig.disk(Lun.blocks4k).sg
      await rig.sh(`sg_xcopy if=${source} of=${long} bs=512 skip=${FROM} seek=2 count=16 2>&1`)
      assert.ok(rig.stored("blocks4k", 2 * 4096, 2 * 4096).equals(part(0, 16)))
    })

    test("what became of it: sg_copy_results", async () => {
      const copy = `sg_xcopy if=${source} of=${target} bs=512 list_id=7 id_usage=hold skip`
      await rig.sh(`${copy}=${FROM} seek=14001 count=33 --on_dst`)
      const status = await rig.sh(`sg_copy_results --status --list_id=7 ${target}`)
      assert.match(status, /Operation completed without errors/)
      assert.equal(numberOf("Segments processed", status), 1)
      assert.equal(numberOf("Transfer count", status), 33 * BLOCK)
      // Told once, it is forgotten.
      await rig.refused(
        `sg_copy_results --status --list_id=7 ${target}`,
        ExitCode.illegalRequest,
        "Illegal request",
      )
      const parameters = await rig.sh(`sg_copy_results --params ${target}`)
      assert.equal(numberOf("Maximum target descriptor count", parameters), 64)
      assert.equal(numberOf("Total concurrent copies", parameters), 16)
      await rig.refused(`${copy}=131000 seek=0 count=1000 --on_dst`, ExitCode.copyAborted, "Copy aborted")
      const failed = await rig.sh(`sg_copy_results --failed --list_id=7 ${target}`)
      assert.match(failed, /Check Condition|Copy Aborted|status/i)
    })
  })

  describe("ROD tokens by ddptctl", () => {
    /**
     * ddpt 0.97 (and what came after it) puts range descriptors one byte too early into the lists of POPULATE TOKEN and WRITE
     * USING TOKEN (do_pop_tok(), do_wut() of ddpt_xcopy.c: n = 15 and 535). A target reads the LBA and the count times 256.
     * So what it is given here counts in 256 blocks. Its other lengths are for the lists of our own below.
     */
    const UNIT = 256
    const range = (lba: number, count: number) => {
      assert.ok(lba % UNIT === 0 && count % UNIT === 0)
      return `${lba / UNIT},${count / UNIT}`
    }
    const use = (file: string, lba: number, count: number) =>
      `ddptctl --rtf=${file} --wut=${range(lba, count)} ${target}`

    test("made, decoded, and used", async () => {
      const made = await rig.sh(
        `ddptctl --pt=${range(FROM, 512)},${range(FROM + 1024, 256)} --rtf=a.rt ${source}`,
      )
      assert.match(made, /transfer count of 768/)
      const decoded = await rig.sh("ddptctl --info --rtf=a.rt")
      assert.match(decoded, /point in time copy - change vulnerable/)
      assert.match(decoded, /0x3[0-9a-f]{15}/)
      assert.equal(numberOf("Number of bytes represented", decoded), 768 * BLOCK)
      assert.match(await rig.sh(use("a.rt", 20_480, 768)), /transfer count of 768/)
      copied(20_480, Buffer.concat([part(0, 512), part(1024, 256)]))
    })

    test("of the background, polled", async () => {
      await rig.sh(`ddptctl --pt=${range(FROM, 1024)} --rtf=b.rt -l 300 --immed ${source}`)
      await rig.sh(`ddptctl --poll -l 300 --rtf=b.rt ${source}`)
      await rig.sh(`ddptctl --rtf=b.rt --wut=${range(24_576, 1024)} -l 301 --immed ${target}`)
      assert.match(await rig.sh(`ddptctl --poll -l 301 ${target}`), /transfer count of 1024/)
      copied(24_576, part(0, 1024))
    })

    test("the block device zero token", async () => {
      // It wants a file of tokens, and doesn't read it then.
      await rig.write(target, 28_672, part(0, 300))
      await rig.sh(`ddptctl --rtype=zero --rtf=a.rt --wut=${range(28_672, 256)} ${target}`)
      copied(28_672, Buffer.concat([Buffer.alloc(256 * BLOCK), part(256, 44)]))
    })

    test("refused: cancelled by a write, deleted, changed, expired, of another type", async () => {
      const refused = (file: string, said: RegExp) =>
        rig.run(use(file, 20_480, 256)).then(({ code, stdout, stderr }) => {
          assert.notEqual(code, 0)
          assert.match(stdout + stderr, said)
        })
      const make = (file: string, more = "") =>
        rig.sh(`ddptctl --pt=${range(FROM, 256)} --rtf=${file} ${more} ${source}`)
      await make("cancelled.rt")
      await rig.write(source, FROM + 7, part(7, 1))
      await refused("cancelled.rt", /[Tt]oken/)
      await make("deleted.rt")
      await rig.sh(`${use("deleted.rt", 20_480, 256)} --del_tkn`)
      await refused("deleted.rt", /[Tt]oken/)
      await make("changed.rt")
      await rig.sh("printf x | dd of=changed.rt bs=1 seek=300 conv=notrunc 2> /dev/null")
      await refused("changed.rt", /[Tt]oken/)
      await make("expired.rt", "--timeout=1")
      await rig.sh("sleep 1.5")
      await refused("expired.rt", /[Tt]oken/)
      const { code } = await rig.run(`ddptctl --rtype=pit-cow --pt=${range(FROM, 256)} --rtf=c.rt ${source}`)
      assert.notEqual(code, 0)
    })
  })

  describe("ROD tokens by lists of our own (sg_raw)", () => {
    type Range = readonly [lba: number, blocks: number]
    const rangesOf = (ranges: readonly Range[]) =>
      Buffer.concat(
        ranges.map(([lba, count]) => {
          const bytes = Buffer.alloc(16)
          bytes.writeUInt32BE(lba, 4)
          bytes.writeUInt32BE(count, 8)
          return bytes
        }),
      )
    let lists = 1000
    /** THIRD-PARTY COPY OUT with a list; `action`: 10h, 11h. Resolves with the list identifier. */
    async function send(sg: string, action: string, list: Buffer): Promise<string> {
      list.writeUInt16BE(list.length - 2, 0)
      const id = (++lists).toString(16)
      const listId = `0 0 ${id.slice(0, -2)} ${id.slice(-2)}`
      await rig.guest.write("/tmp/list", list)
      const length = `0 0 ${(list.length >> 8).toString(16)} ${(list.length & 0xff).toString(16)}`
      await rig.sh(`sg_raw -s ${list.length} -i list ${sg} 83 ${action} 0 0 0 0 ${listId} ${length} 0 0`)
      return listId
    }
    async function populate(ranges: readonly Range[]): Promise<Buffer> {
      const head = Buffer.alloc(16)
      head.writeUInt16BE(ranges.length * 16, 14)
      const listId = await send(source, "10", Buffer.concat([head, rangesOf(ranges)]))
      await rig.sh(`sg_raw -r 1024 -o information ${source} 84 7 ${listId} 0 0 0 0 0 0 4 0 0 0`)
      const information = Buffer.from(await rig.sh("base64 -w0 information"), "base64")
      const blocks = ranges.reduce((sum, [, count]) => sum + count, 0)
      assert.equal(Number(information.readBigUInt64BE(16)), blocks)
      const end = 4 + information.readUInt32BE(0)
      return information.subarray(end - 512, end)
    }
    function use(token: Buffer, ranges: readonly Range[], offsetBlocks = 0): Promise<string> {
      const head = Buffer.alloc(536)
      head.writeUInt32BE(offsetBlocks, 12)
      token.copy(head, 16)
      head.writeUInt16BE(ranges.length * 16, 534)
      return send(target, "11", Buffer.concat([head, rangesOf(ranges)]))
    }

    for (const ranges of [
      [[FROM, 1]],
      [[FROM + 5, 333]],
      [
        [FROM + 9, 7],
        [FROM + 700, 1],
        [FROM + 100, 501],
      ],
    ] as const) {
      test(`odd lengths: ${ranges.map(([, count]) => count).join(" + ")} blocks`, async () => {
        const token = await populate(ranges)
        const expected = Buffer.concat(ranges.map(([lba, count]) => part(lba - FROM, count)))
        const blocks = expected.length / BLOCK
        await use(token, [[32_769, blocks]])
        copied(32_769, expected)
        if (blocks < 2) return
        // scattered, and not from the token's beginning
        await use(
          token,
          [
            [34_001, 1],
            [34_101, blocks - 3],
          ],
          2,
        )
        copied(34_001, expected.subarray(2 * BLOCK, 3 * BLOCK))
        copied(34_101, expected.subarray(3 * BLOCK))
      })
    }

    test("the whole unit", async () => {
      const blocks = 131_072
      await use(await populate([[0, blocks]]), [[0, blocks]])
      assert.ok(rig.stored("copy", 0, blocks * BLOCK).equals(rig.stored("thin", 0, blocks * BLOCK)))
    })
  })
}
