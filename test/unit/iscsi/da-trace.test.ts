/** What goes through the datamover seam can be watched by whoever subscribes, and is passed on as it was. */
import assert from "node:assert/strict"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { describe, it, type TestContext } from "node:test"
import { MemoryStore } from "../../../src/backstore/memory.ts"
import { Disk } from "../../../src/initiator/index.ts"
import { type TargetDatamover, TaskAbortedError } from "../../../src/iscsi/da.ts"
import { daPrimitives, type DaTrace, traced } from "../../../src/iscsi/da-trace.ts"
import { Target } from "../../../src/target/target.ts"

const KIB = 1024

function watch(t: TestContext, primitives: readonly string[] = daPrimitives): DaTrace[] {
  const seen: DaTrace[] = []
  const hear = (message: unknown) => void seen.push(message as DaTrace)
  for (const primitive of primitives) {
    subscribe(`sanlet:da:${primitive}`, hear)
    t.after(() => unsubscribe(`sanlet:da:${primitive}`, hear))
  }
  return seen
}

async function serve(t: TestContext): Promise<string> {
  const target = new Target({ name: "iqn.2026-01.org.example:traced" })
  target.addLogicalUnit(0, new MemoryStore({ sizeBytes: 4096 * KIB }))
  const portal = await target.listen({ host: "127.0.0.1", port: 0 })
  t.after(() => target.close())
  return `iscsi://${portal.address}/${target.name}/0`
}

describe("a watched datamover", () => {
  it("tells of each primitive of a read and a write, at both ends", async (t) => {
    const seen = watch(t)
    const url = await serve(t)
    const disk = await Disk.open(url)
    seen.length = 0
    const written = new Uint8Array(512 * KIB).fill(0x5a)
    await disk.writeBlocks(0, written)
    const read = new Uint8Array(512 * KIB)
    await disk.readBlocks(0, read)
    assert.deepEqual(read, written)
    await disk.close()
    const told = (role: string) =>
      seen.filter((trace) => trace.role === role).map(({ primitive, pdu }) => [primitive, pdu?.pdu])
    const expected = [
      ["controlNotify", "SCSI Command"],
      ["getData", undefined],
      ["dataCompletionNotify", undefined],
      ["sendControl", "SCSI Response"],
      ["controlNotify", "SCSI Command"],
      ["putData", undefined],
      ["sendControl", "SCSI Response"],
      ["controlNotify", "Logout Request"],
      ["sendControl", "Logout Response"],
    ]
    const target = told("target").filter(([, pdu]) => pdu !== "SCSI Data-Out")
    assert.deepEqual(target.slice(0, expected.length), expected)
    const initiator = told("initiator").map(([primitive]) => primitive)
    assert.equal(initiator.filter((primitive) => primitive === "sendCommand").length, 2)
    const [get] = seen.filter(({ primitive }) => primitive === "getData")
    const [got] = seen.filter(({ primitive }) => primitive === "dataCompletionNotify")
    assert.ok(get?.bytes !== undefined && get.bytes > 0)
    assert.equal((get.bufferOffset ?? 0) + get.bytes, 512 * KIB)
    assert.deepEqual([got?.bytes, got?.bufferOffset, got?.error], [get.bytes, get.bufferOffset, undefined])
    const [put] = seen.filter(({ primitive }) => primitive === "putData")
    assert.deepEqual([put?.bytes, put?.bufferOffset, put?.final], [512 * KIB, 0, true])
    assert.equal(put?.transport, "tcp")
    assert.equal(new Set(seen.map(({ connection }) => connection)).size, 2)
  })

  it("tells why data did not come, and whoever asked hears of it as well", async (t) => {
    const seen = watch(t, ["getData", "dataCompletionNotify"])
    const why = new TaskAbortedError()
    const inner = { transport: "iser", getData: () => Promise.reject(why) } as unknown as TargetDatamover
    await assert.rejects(traced(inner, "target").getData(7, 0, 0, 512, new Uint8Array(100)), why)
    const [asked, ended] = seen
    assert.deepEqual([asked?.primitive, asked?.error], ["getData", undefined])
    const { primitive, error, initiatorTaskTag, bufferOffset, bytes, transport } = ended ?? {}
    assert.deepEqual([primitive, error, transport], ["dataCompletionNotify", why, "iser"])
    assert.deepEqual([initiatorTaskTag, bufferOffset, bytes], [7, 512, 100])
  })

  it("is no other than the datamover when nobody listens", async (t) => {
    const url = await serve(t)
    const disk = await Disk.open(url)
    const seen = watch(t)
    await disk.readBlocks(0, new Uint8Array(4 * KIB))
    await disk.close()
    assert.deepEqual(seen, [], "who subscribes later hears of later connections only")
  })
})
