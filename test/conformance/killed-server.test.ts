/** A server that is killed, and what the next one finds: atomic writes whole, a sanitize operation going on. */
import assert from "node:assert/strict"
import { after, describe, test } from "node:test"
import { setTimeout as pause } from "node:timers/promises"
import { SeededRandom } from "../../src/base/random.ts"
import { type Disk, Initiator } from "../../src/initiator/index.ts"
import { Asc, decodeSense, SenseKey } from "../../src/scsi/spec/sense.ts"
import { baseSeed } from "../seed.ts"
import { MiB, Scratch, serve } from "./serve.ts"

const KILLS = 12
const BLOCK_BYTES = 512
const ATOMIC_BYTES = MiB
/** Not aligned to anything, so that pages at both ends are changed in part. */
const LBA = 3

const scratch = new Scratch()
after(() => scratch.remove())

const initiator = new Initiator({ reconnect: false })
/** The byte that is written after this one. */
const following = (byte: number): number => (byte % 255) + 1

function writeAtomic(blocks: number): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb.set([0x9c, 0, 0, 0, 0, 0, 0, 0, 0, LBA])
  cdb.set([blocks >> 8, blocks & 0xff], 12)
  return cdb
}

/** Fills the run with one byte after the other until the server is gone; returns the last that was acknowledged. */
async function fillUntilGone(disk: Disk, acknowledged: number): Promise<number> {
  for (let last = acknowledged; ; last = following(last)) {
    const dataOut = new Uint8Array(ATOMIC_BYTES).fill(following(last))
    const ended = await disk
      .execute(writeAtomic(ATOMIC_BYTES / BLOCK_BYTES), { dataOut })
      .catch(() => undefined)
    if (ended === undefined) return last
    assert.equal(ended.status, 0)
  }
}

describe("a server that is killed", () => {
  test(`leaves atomic writes of ${ATOMIC_BYTES} bytes whole`, async (t) => {
    const random = new SeededRandom(baseSeed)
    t.diagnostic(`seed ${baseSeed}`)
    const image = scratch.image("atomic.img", 4 * MiB)
    let acknowledged = 0
    let undone = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const served = await serve([image, "--listen", "127.0.0.1:0"])
      try {
        if (served.output.includes("undoing an atomic write")) undone++
        const disk = await initiator.open(served.url)
        const found = new Uint8Array(ATOMIC_BYTES)
        await disk.readBlocks(LBA, found)
        assert.ok(
          found.every((byte) => byte === found[0]),
          "it is whole",
        )
        const possible = [acknowledged, following(acknowledged)]
        assert.ok(possible.includes(found[0]!), `${found[0]} after ${acknowledged}`)
        const filling = fillUntilGone(disk, found[0]!)
        await pause(20 + random.below(200))
        await served.kill()
        acknowledged = await filling
        await disk.close().catch(() => {})
      } finally {
        await served.kill()
      }
    }
    t.diagnostic(`${undone} of ${KILLS - 1} starts had one to undo`)
  })

  test("takes up a sanitize operation again, and ends it", async () => {
    const image = scratch.image("sanitized.img", 4 * MiB)
    const device = { type: "delay", on: { type: "file", path: image }, delaysMs: { write: 700 } }
    const configuration = scratch.configuration("sanitized.yaml", {
      portals: [{ listen: "127.0.0.1:0" }],
      targets: [{ name: "iqn.2026-01.org.example:sanitized", luns: [{ lun: 0, device }] }],
    })
    const first = await serve(["--config", configuration])
    try {
      const disk = await initiator.open(first.url)
      const dataOut = Uint8Array.of(1, 0, 0, 1, 0x5a)
      const begun = await disk.execute(Uint8Array.of(0x48, 0x81, 0, 0, 0, 0, 0, 0, dataOut.length, 0), {
        dataOut,
      })
      assert.equal(begun.status, 0)
      await pause(1000)
      await first.kill()
      await disk.close().catch(() => {})
    } finally {
      await first.kill()
    }

    const second = await serve(["--config", configuration])
    try {
      assert.match(second.output, /a sanitize operation begins/)
      const progress: number[] = []
      const session = await initiator.login(second.url)
      for (let round = 0; round < 100; round++) {
        const dataIn = new Uint8Array(252)
        await session.execute({ lun: 0, cdb: Uint8Array.of(0x03, 1, 0, 0, 252, 0), dataIn })
        const sense = decodeSense(dataIn)
        if (sense?.key === SenseKey.notReady) {
          assert.equal(sense.asc, Asc.logicalUnitNotReadySanitizeInProgress)
          progress.push(sense.detail.progress!)
        } else if (sense?.key === SenseKey.noSense) break
        await pause(100)
      }
      await session.close()
      assert.ok(progress.length > 2, "it was met in progress")
      assert.ok(progress.every((one, i) => i === 0 || one >= progress[i - 1]!))
      const after = await initiator.open(second.url)
      const found = new Uint8Array(4 * MiB)
      await after.readBlocks(0, found)
      assert.ok(found.every((byte) => byte === 0x5a))
      await after.close()
    } finally {
      await second.kill()
    }
  })
})
