import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { MemoryStore } from "../../../src/backstore/memory.ts"
import { ProtectedStore } from "../../../src/backstore/protection/protected-store.ts"
import { generate, noChecks, spread } from "../../../src/backstore/protection/tuple.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import type { RawInitiator } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

const BLOCK = 512
const WITH = 1 << 5
const LUN = 1

async function loggedIn() {
  const world = await TargetWorld.open()
  const memory = new MemoryStore({ sizeBytes: 8 * 2 ** 20 })
  const store = await ProtectedStore.open(memory, { type: 1, blockBytes: BLOCK })
  world.target.addLogicalUnit(LUN, store)
  const initiator = await world.initiator()
  initiator.command(new Uint8Array(6), { lun: LUN })
  await initiator.next("SCSI Response") // its unit attention
  return { world, initiator, store }
}

/** Blocks with their protection information. */
function interleaved(lba: number, blocks: number): Buffer {
  const data = Buffer.from(Array.from({ length: blocks * BLOCK }, (_, i) => (i * 7 + (i >> 9)) & 0xff))
  const all = Buffer.alloc(blocks * (BLOCK + 8))
  spread(data, BLOCK, all)
  generate(all, BLOCK, lba, { applicationTag: 0, referenceTagOffset: 0 })
  return all
}

/** What comes until the status, R2Ts answered. */
async function finish(initiator: RawInitiator, dataOut: Uint8Array = new Uint8Array(0)) {
  const parts: Uint8Array[] = []
  for (;;) {
    const arrived = await initiator.next()
    if (arrived.pdu === "Ready To Transfer (R2T)") {
      initiator.answer(arrived, dataOut)
      continue
    }
    if (arrived.pdu === "SCSI Data-In") parts.push(arrived.data)
    if (arrived.pdu === "SCSI Data-In" && arrived.fields["statusPresent"] !== true) continue
    const { status, overflow, underflow, residualCount } = arrived.fields
    const residual = `${overflow === true ? "O" : ""}${underflow === true ? "U" : ""}${String(residualCount)}`
    return { status, residual, data: Buffer.concat(parts) }
  }
}

describe("protection information on its way", () => {
  it("residuals count it with the data, both ways", async () => {
    const { world, initiator, store } = await loggedIn()
    const all = interleaved(8, 3)
    for (const [announced, residual] of [
      [3 * 520 + 100, "U100"],
      [3 * 520, "0"],
      [2 * 520, "O520"],
    ] as const) {
      const dataOut = Buffer.alloc(announced)
      all.copy(dataOut)
      initiator.command(write10(8, 3, WITH), { write: announced, lun: LUN })
      const written = await finish(initiator, dataOut)
      assert.deepEqual([written.status, written.residual], [0, residual])
      initiator.command(read10(8, 3, WITH), { read: announced, lun: LUN })
      const read = await finish(initiator)
      assert.deepEqual([read.status, read.residual], [0, residual])
      assert.deepEqual(read.data, all.subarray(0, announced))
    }
    initiator.command(write10(8, 3, WITH), { write: 3 * BLOCK, lun: LUN })
    const part = await finish(initiator, all.subarray(0, 3 * BLOCK))
    assert.equal(part.status, 2, "1536 bytes are no whole blocks of 520")
    assert.deepEqual(store.protectionErrors, { guard: 0, applicationTag: 0, referenceTag: 0 })
    await world.close()
  })

  it("a transfer of several steps arrives as it was sent", async () => {
    const { world, initiator, store } = await loggedIn()
    const blocks = 5000
    const all = interleaved(100, blocks)
    initiator.command(write10(100, blocks, WITH), { write: all.length, lun: LUN })
    assert.equal((await finish(initiator, all)).status, 0)
    const stored = Buffer.alloc(all.length)
    await store.readProtected(100, stored, noChecks)
    assert.ok(stored.equals(all))
    initiator.command(read10(100, blocks, WITH), { read: all.length, lun: LUN })
    const read = await finish(initiator)
    assert.deepEqual([read.status, read.residual], [0, "0"])
    assert.ok(read.data.equals(all))
    await world.close()
  })
})
