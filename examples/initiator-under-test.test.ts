// An iSER target in the test of an initiator: here of sanlet's own command line, or of the command in $INITIATOR, which
// writes the file {file} to the disk {url}.
//   node --import tsx --test examples/initiator-under-test.test.ts
//   INITIATOR="my-initiator --write {file} {url}" node --import tsx --test examples/initiator-under-test.test.ts
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test, type TestContext } from "node:test"
import { type SessionInfo, Target } from "sanlet"
import { FaultStore, MemoryStore } from "sanlet/backstore"

const COMMAND = process.env["INITIATOR"] ?? "npx sanlet copy {file} {url}"
const SIZE = 8 * 2 ** 20

const folder = mkdtempSync(join(tmpdir(), "initiator-under-test-"))
after(() => rmSync(folder, { recursive: true }))
const file = join(folder, "data")
const data = randomBytes(SIZE)
writeFileSync(file, data)

/** A target in this process, with a disk that can be made to fail; what sessions there were. */
async function serve(t: TestContext) {
  const memory = new MemoryStore({ sizeBytes: SIZE })
  const disk = new FaultStore(memory)
  const target = new Target({ name: "iqn.2026-01.org.example:under-test" })
  target.addLogicalUnit(0, disk)
  const portal = await target.listen({ host: "127.0.0.1", port: 0 })
  t.after(() => target.close())
  const sessions: SessionInfo[] = []
  const look = setInterval(() => sessions.push(...target.sessions()), 5)
  t.after(() => clearInterval(look))
  return { memory, disk, sessions, url: `iser://${portal.address}/${target.name}/0` }
}

/** Runs the initiator to its end; how it ended. */
async function initiate(url: string): Promise<{ exitCode: number; complaint: string }> {
  const [command = "", ...args] = COMMAND.split(" ").map((word) =>
    word.replace("{file}", file).replace("{url}", url),
  )
  const child = spawn(command, args, { stdio: ["ignore", "inherit", "pipe"] })
  let complaint = ""
  child.stderr.on("data", (text: Buffer) => {
    complaint += text.toString()
  })
  const [exitCode] = (await once(child, "close")) as [number]
  return { exitCode, complaint }
}

test("what the initiator writes over iSER arrives", async (t) => {
  const { memory, sessions, url } = await serve(t)
  const { exitCode, complaint } = await initiate(url)
  assert.equal(exitCode, 0, complaint)
  const arrived = Buffer.alloc(SIZE)
  memory.read(0, arrived)
  assert.ok(arrived.equals(data))
  assert.ok(sessions.length > 0 && sessions.every(({ transport }) => transport === "iser"))
})

test("the initiator tells when the medium fails, and doesn't claim to have written", async (t) => {
  const { disk, url } = await serve(t)
  disk.addRule({ operations: ["write"], skip: 3, effect: { kind: "error", reason: "io" } })
  const { exitCode, complaint } = await initiate(url)
  assert.notEqual(exitCode, 0)
  assert.match(complaint, /medium|MEDIUM|I\/O/)
})

test("the initiator waits for a medium that takes its time", async (t) => {
  const { disk, memory, url } = await serve(t)
  disk.addRule({ operations: ["write"], skip: 3, count: 1, effect: { kind: "hang" } })
  const patience = setInterval(() => disk.release(), 300)
  t.after(() => clearInterval(patience))
  const { exitCode, complaint } = await initiate(url)
  assert.equal(exitCode, 0, complaint)
  const arrived = Buffer.alloc(SIZE)
  memory.read(0, arrived)
  assert.ok(arrived.equals(data))
})
