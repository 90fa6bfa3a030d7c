/** Random protected and unprotected commands against a slow model: a list of blocks with their protection information. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { ProtectionType } from "../../../../../src/backstore/protection/tuple.ts"
import { crcT10Dif } from "../../../../../src/wire/crc-t10dif.ts"
import { blockCdb, type CommandOptions, pattern } from "../disk.ts"
import { interleave, makeProtectedDisk } from "./protected-disk.ts"

const BLOCKS = 24
const UNMAPPED_TUPLE = Buffer.alloc(8, 0xff)

interface Block {
  readonly data: Buffer
  readonly tuple: Buffer
}

/** *PROTECT of the values whose checks differ, each with its checks of guard and reference tag. */
const values = [
  { protect: 0, sent: false, guard: true, tag: true },
  { protect: 1, sent: true, guard: true, tag: true },
  { protect: 2, sent: true, guard: false, tag: true },
  { protect: 3, sent: true, guard: false, tag: false },
  { protect: 4, sent: true, guard: true, tag: false },
] as const
type Value = (typeof values)[number]

class Model {
  readonly type: ProtectionType
  readonly blocks: Block[]

  constructor(type: ProtectionType, blockBytes: number) {
    this.type = type
    this.blocks = Array.from({ length: BLOCKS }, () => ({
      data: Buffer.alloc(blockBytes),
      tuple: UNMAPPED_TUPLE,
    }))
  }

  made(data: Buffer, lba: number): Block {
    const tag = this.type === 3 ? { referenceTag: 0xffffffff } : {}
    return { data, tuple: interleave(data, lba, data.length, tag).subarray(data.length) }
  }

  /** Which additional sense code the checks of a value give for a block. */
  wrong({ data, tuple }: Block, lba: number, value: Value): number | undefined {
    const escaped =
      tuple.readUInt16BE(2) === 0xffff && (this.type !== 3 || tuple.readUInt32BE(4) === 0xffffffff)
    if (escaped) return undefined
    if (value.guard && crcT10Dif(data) !== tuple.readUInt16BE(0)) return 0x1001
    if (value.tag && this.type === 1 && tuple.readUInt32BE(4) !== lba) return 0x1003
    return undefined
  }

  /** The first block that fails, of a run that begins at `lba`. */
  firstWrong(run: readonly Block[], lba: number, value: Value): { lba: number; asc: number } | undefined {
    for (const [i, block] of run.entries()) {
      const asc = this.wrong(block, lba + i, value)
      if (asc !== undefined) return { lba: lba + i, asc }
    }
    return undefined
  }
}

const joined = (run: readonly Block[], value: Value): Buffer =>
  Buffer.concat(run.flatMap(({ data, tuple }) => (value.sent ? [data, tuple] : [data])))

const step = fc.record({
  command: fc.constantFrom("read", "write", "verify", "compare", "or", "same", "unmap", "andVerify"),
  lba: fc.nat(BLOCKS - 1),
  blocks: fc.integer({ min: 1, max: 6 }),
  value: fc.constantFrom(...values),
  seed: fc.nat(1000),
  /** What is wrong with the protection information that is sent. */
  spoilt: fc.constantFrom("", "", "guard", "tag", "escape", "zeroes"),
})
type Step = ReturnType<typeof step.generate>["value"]

describe("protected commands against a model", () => {
  for (const type of [1, 2, 3] as const) {
    for (const blockBytes of [512, 4096] as const) {
      test(`type ${type}, blocks of ${blockBytes} bytes`, async () => {
        const runs = blockBytes === 512 ? 60 : 15
        await fc.assert(
          fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) =>
            run(type, blockBytes, steps),
          ),
          { numRuns: runs },
        )
      })
    }
  }
})

async function run(type: ProtectionType, blockBytes: 512 | 4096, steps: readonly Step[]): Promise<void> {
  const { disk } = await makeProtectedDisk(type, { blocks: BLOCKS, logicalBlockBytes: blockBytes })
  const model = new Model(type, blockBytes)
  for (const each of steps) {
    // Type 2 has no *PROTECT in these CDBs.
    const value = type === 2 ? values[0] : each.value
    const blocks = Math.min(each.blocks, BLOCKS - each.lba)
    const sent = dataOutOf(model, { ...each, blocks, value }, blockBytes)
    await perform(disk, model, { ...each, blocks, value }, sent)
  }
  const unchecked = type === 2 ? values[0] : values[3]
  const all = await disk.good(blockCdb(0x88, 0, BLOCKS, unchecked.protect << 5))
  assert.deepEqual(Buffer.from(all), joined(model.blocks, unchecked))
}

function dataOutOf(model: Model, { lba, blocks, value, seed, spoilt }: Step, blockBytes: number): Block[] {
  const bytes =
    spoilt === "zeroes" ? Buffer.alloc(blocks * blockBytes) : Buffer.from(pattern(blocks * blockBytes, seed))
  return Array.from({ length: blocks }, (_, i) => {
    const block = model.made(bytes.subarray(i * blockBytes, (i + 1) * blockBytes), lba + i)
    if (!value.sent || i !== blocks - 1) return block
    const tuple = Buffer.from(block.tuple)
    if (spoilt === "guard") tuple[0]! ^= 0x40
    if (spoilt === "tag") tuple[7]! ^= 1
    if (spoilt === "escape") tuple.fill(0xff)
    return { ...block, tuple }
  })
}

type Runner = {
  good(cdb: Uint8Array, options?: CommandOptions): Promise<Uint8Array>
  fails(
    cdb: Uint8Array,
    key: number,
    asc: number,
    options?: CommandOptions,
  ): Promise<{ detail: { information?: number } }>
}

async function perform(disk: Runner, model: Model, given: Step, sent: Block[]): Promise<void> {
  const { command, lba, blocks, value } = given
  const flags = value.protect << 5
  const there = model.blocks.slice(lba, lba + blocks)
  const dataOut = joined(sent, value)
  const expect = async (
    cdb: Uint8Array,
    wrong: { lba: number; asc: number } | undefined,
    options?: CommandOptions,
  ) => {
    if (wrong === undefined) return disk.good(cdb, options)
    const { detail } = await disk.fails(cdb, 0xb, wrong.asc, options)
    assert.equal(detail.information, wrong.lba)
    return undefined
  }
  const replace = (run: readonly Block[]) => model.blocks.splice(lba, run.length, ...run)
  const wrongThere = model.firstWrong(there, lba, value)
  const wrongSent = value.sent ? model.firstWrong(sent, lba, value) : undefined
  switch (command) {
    case "read": {
      const data = await expect(blockCdb(0x28, lba, blocks, flags), wrongThere)
      if (data) assert.deepEqual(Buffer.from(data), joined(there, value))
      return
    }
    case "verify":
      return void (await expect(blockCdb(0x8f, lba, blocks, flags), wrongThere))
    case "write":
    case "andVerify": {
      await expect(
        blockCdb(command === "write" ? 0x2a : 0x2e, lba, blocks, flags | (command === "write" ? 0 : 2)),
        wrongSent,
        { dataOut },
      )
      if (!wrongSent) replace(sent)
      return
    }
    case "compare": {
      const cdb = blockCdb(0x89, lba, 0, flags)
      cdb[13] = blocks
      const expected = there.map(({ data }, i) => model.made(data, lba + i))
      const wrong = wrongSent ?? (value.sent ? undefined : wrongThere)
      await expect(cdb, wrong, { dataOut: Buffer.concat([joined(expected, value), dataOut]) })
      if (!wrong) replace(sent)
      return
    }
    case "or": {
      const wrong = wrongSent ?? wrongThere
      await expect(blockCdb(0x8b, lba, blocks, flags), wrong, { dataOut })
      if (!wrong) {
        replace(
          sent.map(({ data, tuple }, i) => {
            const both = Buffer.from(data.map((byte, at) => byte | there[i]!.data[at]!))
            const guard = Buffer.from(tuple)
            guard.writeUInt16BE(crcT10Dif(both))
            return { data: both, tuple: guard }
          }),
        )
      }
      return
    }
    case "same": {
      const [first] = dataOutOf(model, { ...given, blocks: 1 }, sent[0]!.data.length)
      const wrong = value.sent ? model.firstWrong([first!], lba, value) : undefined
      await expect(blockCdb(0x93, lba, blocks, flags), wrong, { dataOut: joined([first!], value) })
      if (wrong) return
      const tag = first!.tuple.readUInt32BE(4)
      replace(
        there.map((_, i) => {
          const tuple = Buffer.from(first!.tuple)
          if (model.type !== 3) tuple.writeUInt32BE((tag + i) % 2 ** 32, 4)
          return { data: first!.data, tuple }
        }),
      )
      return
    }
    case "unmap": {
      const list = Buffer.alloc(24)
      list.writeUInt16BE(22, 0)
      list.writeUInt16BE(16, 2)
      list.writeBigUInt64BE(BigInt(lba), 8)
      list.writeUInt32BE(blocks, 16)
      const cdb = Uint8Array.of(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0)
      await disk.good(cdb, { dataOut: list })
      replace(there.map(({ data }) => ({ data: Buffer.alloc(data.length), tuple: UNMAPPED_TUPLE })))
    }
  }
}
