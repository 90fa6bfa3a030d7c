import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { TRANSFER_STEP_BYTES } from "../../../../../src/base/limits.ts"
import { blockCdb, compareAndWriteCdb, pattern } from "../disk.ts"
import { VariableLength } from "../../../../../src/scsi/spec/operation-code.ts"
import { cdb32, interleave, makeProtectedDisk, store } from "./protected-disk.ts"

const BLOCK = 512
const WITH = 1 << 5

describe("transfers with protection information", () => {
  for (const blockBytes of [512, 4096] as const) {
    test(`longer than a step, blocks of ${blockBytes}: each step holds whole blocks with their own`, async () => {
      const blocks = Math.ceil((2.5 * TRANSFER_STEP_BYTES) / blockBytes)
      const { disk } = await makeProtectedDisk(1, { blocks: blocks + 3, logicalBlockBytes: blockBytes })
      const data = pattern(blocks * blockBytes, 4)
      const dataOut = interleave(data, 3, blockBytes)
      const { task } = await disk.run(blockCdb(0x8a, 3, blocks, WITH), { dataOut })
      assert.equal(task.status, 0)
      assert.equal(task.dataOutBytes, dataOut.length, "what the residual is counted from")
      const read = await disk.run(blockCdb(0x88, 3, blocks, WITH))
      assert.deepEqual(Buffer.from(read.dataIn), dataOut)
      assert.equal(read.task.dataInBytes, dataOut.length)
      assert.deepEqual(Buffer.from(await disk.good(blockCdb(0x88, 3, blocks))), Buffer.from(data))
      await disk.good(blockCdb(0x8f, 3, blocks, WITH | 2), { dataOut })
      await disk.good(blockCdb(0x8a, 3, blocks), { dataOut: data })
      assert.deepEqual(Buffer.from(await disk.good(blockCdb(0x88, 3, blocks, WITH))), dataOut)
    })
  }

  test("an initiator that takes less gets the beginning, and the residual tells the rest", async () => {
    const { disk, store: on } = await makeProtectedDisk(1)
    const stored = interleave(pattern(3 * BLOCK), 0, BLOCK)
    await store(on, 0, stored)
    for (const dataInBytesMax of [1, 512, 519, 520, 521, 1559]) {
      const { task, dataIn } = await disk.run(blockCdb(0x28, 0, 3, WITH), { dataInBytesMax })
      assert.deepEqual(Buffer.from(dataIn), stored.subarray(0, dataInBytesMax))
      assert.equal(task.dataInBytes, 3 * 520)
    }
  })

  test("an initiator that sends less whole blocks has those written; a part of one is refused", async () => {
    const { disk } = await makeProtectedDisk(1)
    const dataOut = interleave(pattern(2 * BLOCK), 0, BLOCK)
    await disk.good(blockCdb(0x2a, 0, 3, WITH), { dataOut })
    assert.deepEqual(Buffer.from(await disk.good(blockCdb(0x28, 0, 2, WITH))), dataOut)
    await disk.fails(blockCdb(0x2a, 0, 3, WITH), 5, 0x0e03, { dataOut: dataOut.subarray(0, 1024) })
    await disk.fails(blockCdb(0x2a, 0, 3), 5, 0x0e03, { dataOut })
  })

  test("a wrong block in the middle: the ones before it are written, it and those behind it are not", async () => {
    const { disk } = await makeProtectedDisk(1)
    const dataOut = interleave(pattern(4 * BLOCK, 2), 10, BLOCK)
    dataOut[2 * 520 + 5]! ^= 0x80
    const sense = await disk.fails(blockCdb(0x2a, 10, 4, WITH), 0xb, 0x1001, { dataOut })
    assert.equal(sense.detail.information, 12)
    assert.deepEqual(Buffer.from(await disk.good(blockCdb(0x28, 12, 2))), Buffer.alloc(1024))
  })

  test("COMPARE AND WRITE takes as many blocks as fit one step with their own", async () => {
    const { disk } = await makeProtectedDisk(1, { blocks: 256, logicalBlockBytes: 4096 })
    const { compareAndWriteBlocks: most } = disk.unit.limits
    assert.equal(most, 127)
    const half = interleave(new Uint8Array(most * 4096), 0, 4096)
    const dataOut = Buffer.concat([half, interleave(pattern(most * 4096), 0, 4096)])
    await disk.good(compareAndWriteCdb(0, most, WITH), { dataOut })
    assert.deepEqual(
      Buffer.from(await disk.good(blockCdb(0x28, 0, most, WITH))),
      dataOut.subarray(half.length),
    )
  })

  test("COMPARE AND WRITE with a wrong block anywhere in the write instance writes nothing", async () => {
    const { disk } = await makeProtectedDisk(1, { blocks: 256, logicalBlockBytes: 4096 })
    const { compareAndWriteBlocks: most } = disk.unit.limits
    const half = interleave(new Uint8Array(most * 4096), 0, 4096)
    const dataOut = Buffer.concat([half, interleave(pattern(most * 4096), 0, 4096)])
    dataOut[dataOut.length - 100]! ^= 1
    const sense = await disk.fails(compareAndWriteCdb(0, most, WITH), 0xb, 0x1001, { dataOut })
    assert.equal(sense.detail.information, most - 1)
    assert.deepEqual(Buffer.from(await disk.good(blockCdb(0x28, 0, most))), Buffer.alloc(most * 4096))
  })

  test("6-byte CDBs have no such field: nothing is transmitted, what is stored is checked", async () => {
    const { disk, store: on } = await makeProtectedDisk(1)
    await disk.good(blockCdb(0x0a, 2, 1), { dataOut: pattern(BLOCK) })
    assert.deepEqual(await disk.good(blockCdb(0x08, 2, 1)), pattern(BLOCK))
    await store(on, 2, interleave(pattern(BLOCK), 3, BLOCK))
    await disk.fails(blockCdb(0x08, 2, 1), 0xb, 0x1003)
  })

  test("WRITE SAME: the tags sent rise with the LBA, NDOB leaves FFh, and zeroes unmap with UNMAP only", async () => {
    const { disk, below } = await makeProtectedDisk(1)
    const one = interleave(pattern(BLOCK), 4, BLOCK, { applicationTag: 0x77 })
    await disk.good(blockCdb(0x41, 4, 3, WITH), { dataOut: one })
    const three = Buffer.concat([pattern(BLOCK), pattern(BLOCK), pattern(BLOCK)])
    const wanted = interleave(three, 4, BLOCK, { applicationTag: 0x77 })
    assert.deepEqual(Buffer.from(await disk.good(blockCdb(0x28, 4, 3, WITH))), wanted)
    await disk.fails(blockCdb(0x41, 5, 3, WITH), 0xb, 0x1003, { dataOut: one })
    await disk.fails(blockCdb(0x41, 4, 3, WITH), 5, 0x0e03, { dataOut: pattern(BLOCK) })
    const unmapped = Buffer.concat([Buffer.alloc(BLOCK), Buffer.alloc(8, 0xff)])
    await disk.good(blockCdb(0x93, 4, 1, 1))
    assert.deepEqual(Buffer.from(await disk.good(blockCdb(0x28, 4, 1, WITH))), unmapped)
    below.calls.length = 0
    await disk.good(blockCdb(0x41, 5, 2), { dataOut: new Uint8Array(BLOCK) })
    assert.ok(!below.calls.some((call) => call.startsWith("discard")))
    assert.deepEqual(
      Buffer.from(await disk.good(blockCdb(0x28, 5, 1, WITH))),
      interleave(new Uint8Array(BLOCK), 5, BLOCK),
    )
    await disk.good(blockCdb(0x41, 5, 2, 8), { dataOut: new Uint8Array(BLOCK) })
    assert.ok(below.calls.some((call) => call.startsWith("discard")))
    assert.deepEqual(Buffer.from(await disk.good(blockCdb(0x28, 5, 1, WITH))), unmapped)
  })

  test("VERIFY with BYTCHK 11b compares each block with the one sent, whose tag rises", async () => {
    const { disk } = await makeProtectedDisk(1)
    const one = interleave(pattern(BLOCK), 4, BLOCK)
    await disk.good(blockCdb(0x41, 4, 3, WITH), { dataOut: one })
    await disk.good(blockCdb(0x2f, 4, 3, WITH | 6), { dataOut: one })
    await disk.good(blockCdb(0x2f, 4, 3, 6), { dataOut: pattern(BLOCK) })
    await disk.fails(blockCdb(0x2f, 4, 4, WITH | 6), 0xe, 0x1d00, { dataOut: one })
  })

  test("type 2: a 32-byte CDB says the first reference tag, and with ATO what of the application tag", async () => {
    const { disk, store: on } = await makeProtectedDisk(2)
    disk.unit.control.applicationTagOwner = true
    const tags = { initialReferenceTag: 0xffff_fffe, applicationTag: 0xab00, applicationTagMask: 0xff00 }
    const data = pattern(3 * BLOCK)
    const dataOut = Buffer.concat(
      [0xffff_fffe, 0xffff_ffff, 0].map((referenceTag, i) =>
        interleave(data.subarray(i * BLOCK, (i + 1) * BLOCK), 0, BLOCK, {
          referenceTag,
          applicationTag: 0xab99,
        }),
      ),
    )
    await disk.good(cdb32(VariableLength.write32, 9, 3, { flags: WITH, ...tags }), { dataOut })
    assert.deepEqual(
      Buffer.from(await disk.good(cdb32(VariableLength.read32, 9, 3, { flags: WITH, ...tags }))),
      dataOut,
    )
    assert.deepEqual(
      await disk.good(blockCdb(0x28, 9, 3)),
      data,
      "whoever doesn't know the tags reads it, too",
    )
    const other = { ...tags, flags: WITH, applicationTag: 0xac00 }
    assert.equal(
      (await disk.fails(cdb32(VariableLength.read32, 9, 3, other), 0xb, 0x1002)).detail.information,
      9,
    )
    await disk.fails(cdb32(VariableLength.read32, 9, 3, { ...tags, initialReferenceTag: 5 }), 0xb, 0x1003)
    await disk.good(cdb32(VariableLength.write32, 20, 2, { initialReferenceTag: 0x1000 }), {
      dataOut: data.subarray(0, 1024),
    })
    const made = Buffer.alloc(520)
    await on.readProtected(21, made, {
      guard: true,
      applicationTag: undefined,
      referenceTagOffset: undefined,
    })
    assert.equal(made.readUInt32BE(516), 0x1001)
    const same = interleave(pattern(BLOCK), 0, BLOCK, { referenceTag: 0x2000, applicationTag: 0xabcd })
    const writeSame = { flags: WITH, ...tags, initialReferenceTag: 0x2000 }
    await disk.good(cdb32(VariableLength.writeSame32, 30, 2, writeSame), { dataOut: same })
    await disk.good(cdb32(VariableLength.verify32, 30, 2, writeSame))
    await disk.fails(cdb32(VariableLength.writeSame32, 30, 0, writeSame), 5, 0x2400, { dataOut: same })
  })

  test("beyond 2^32 blocks the reference tag is the LBA's low 32 bits", async () => {
    const { store: on } = await makeProtectedDisk(1)
    const block = interleave(pattern(BLOCK), 2 ** 32 + 5, BLOCK)
    assert.equal(block.readUInt32BE(516), 5)
    on.check(2 ** 32 + 5, block, { guard: true, applicationTag: undefined, referenceTagOffset: 0 })
  })

  test("failed checks are counted by their field, and torn blocks as guards", async () => {
    const { disk, store: on, below } = await makeProtectedDisk(1)
    await store(on, 0, interleave(pattern(BLOCK), 0, BLOCK, { guard: 1 }))
    await store(on, 1, interleave(pattern(BLOCK), 9, BLOCK))
    await disk.good(blockCdb(0x2a, 2, 1), { dataOut: pattern(BLOCK) })
    below.bytes[4096 + 2 * 528 + 100]! ^= 1
    await disk.fails(blockCdb(0x28, 0, 1), 0xb, 0x1001)
    await disk.fails(blockCdb(0x28, 1, 1), 0xb, 0x1003)
    assert.equal((await disk.fails(blockCdb(0x28, 1, 2, 3 << 5), 0xb, 0x1001)).detail.information, 2)
    assert.deepEqual(disk.unit.protection?.device.protectionErrors, {
      guard: 2,
      applicationTag: 0,
      referenceTag: 1,
    })
  })

  test("what log pages count are the blocks, without what lies beside them", async () => {
    const { disk } = await makeProtectedDisk(1)
    const dataOut = interleave(pattern(4 * BLOCK), 0, BLOCK)
    await disk.good(blockCdb(0x2a, 0, 4, WITH), { dataOut })
    await disk.good(blockCdb(0x28, 0, 3, WITH))
    await disk.good(blockCdb(0x28, 0, 1))
    await disk.good(blockCdb(0x2f, 0, 2, WITH))
    await disk.good(blockCdb(0x2f, 0, 4, WITH | 2), { dataOut })
    const { readCommands, writeCommands, readBytes, writtenBytes, verifiedBytes } = disk.unit.counters
    assert.deepEqual([readCommands, writeCommands], [2, 1])
    assert.deepEqual([readBytes, writtenBytes, verifiedBytes], [4 * BLOCK, 4 * BLOCK, 6 * BLOCK])
  })

  test("FUA and WCE 0 reach the medium with the protection information", async () => {
    const { disk, below } = await makeProtectedDisk(1)
    below.calls.length = 0
    await disk.good(blockCdb(0x2a, 0, 1, 8), { dataOut: pattern(BLOCK) })
    disk.unit.medium.writeThrough = true
    await disk.good(blockCdb(0x2a, 1, 1), { dataOut: pattern(BLOCK) })
    assert.deepEqual(below.calls, ["write 4096+528 fua", "write 4624+528 fua"])
    await disk.good(blockCdb(0x28, 0, 1, 8))
    assert.deepEqual(below.calls.slice(2), ["flush", "read 4096+528"])
  })
})
