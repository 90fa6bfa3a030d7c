/**
 * The examples run as a user runs them, each in a process of its own on a free port, and are read through the project's
 * own initiator. "sanlet" in them stands for the sources, not for what was compiled last.
 */
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { after, describe, it } from "node:test"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Disk } from "../../src/initiator/index.ts"

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const folder = mkdtempSync(join(tmpdir(), "sanlet-examples-"))
const running = new Set<ChildProcess>()
after(() => {
  for (const child of running) child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

const dataUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`

/** Resolves the package's own doors to its sources. */
const doors = `
  const source = ${JSON.stringify(pathToFileURL(join(root, "src/")).href)}
  export const resolve = (name, context, next) => {
    const door = /^sanlet(?:\\/(\\w+))?$/.exec(name)
    return next(door ? source + (door[1] ? door[1] + "/" : "") + "index.ts" : name, context)
  }`
const registerDoors = dataUrl(`
  import { register } from "node:module"
  register(${JSON.stringify(dataUrl(doors))})`)

/** Starts an example; gives its process and the URL it says it serves. */
async function start(name: string, ...args: string[]): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", "--import", registerDoors, join(root, "examples", name), ...args],
    { cwd: root, stdio: ["ignore", "pipe", "pipe"] },
  )
  running.add(child)
  child.once("exit", () => running.delete(child))
  let complaints = ""
  child.stderr.on("data", (data: Buffer) => {
    complaints += data.toString()
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /serving (iscsi:\S+)/.exec(line)?.[1]
    if (url !== undefined) return { child, url }
  }
  throw new Error(`${name} ended without serving anything:\n${complaints}`)
}

/** Runs an example that ends by itself; what it wrote. */
async function run(
  name: string,
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | null; output: string }> {
  // One that is a test reports to whoever runs it, not to the runner of this one.
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env
  const child = spawn(
    process.execPath,
    ["--import", "tsx", "--import", registerDoors, join(root, "examples", name)],
    { cwd: root, env: { ...inherited, ...env }, stdio: ["ignore", "pipe", "pipe"] },
  )
  running.add(child)
  let output = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data: Buffer) => {
      output += data.toString()
    })
  }
  const [code] = (await once(child, "close")) as [number | null]
  running.delete(child)
  return { code, output }
}

/** Ends it as a user does; it must go in good order. */
async function interrupt(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit")
  child.kill("SIGINT")
  assert.deepEqual(await exit, [0, null])
}

describe("examples", () => {
  it("target.ts serves a disk that remembers", async () => {
    const image = join(folder, "disk.img")
    const written = Buffer.alloc(4096, "remember me ")
    for (const round of ["write", "read"]) {
      const { child, url } = await start("target.ts", image, "0")
      const disk = await Disk.open(url)
      assert.equal(disk.sizeBytes, 10 * 2 ** 30)
      if (round === "write") await disk.writeBlocks(1000, written)
      const read = new Uint8Array(4096)
      await disk.readBlocks(1000, read)
      assert.deepEqual(Buffer.from(read), written)
      await disk.close()
      await interrupt(child)
    }
    assert.ok(statSync(image).blocks * 512 < 2 ** 20, "the image is sparse")
  })

  it("own-block-device.ts serves a device of the user's making", async () => {
    const { child, url } = await start("own-block-device.ts", "0")
    const disk = await Disk.open(url)
    assert.equal(disk.sizeBytes, 64 * 2 ** 20)
    const read = new Uint8Array(1024)
    await disk.readBlocks(511, read)
    assert.deepEqual([read[0], read[511], read[512], read[1023]], [255, 255, 0, 0])
    await assert.rejects(disk.writeBlocks(0, read), /DATA PROTECT|write.protect|read-only/i)
    await disk.close()
    await interrupt(child)
  })

  it("watch-datamover.ts shows the primitives of a write and a read, the same over TCP and iSER", async () => {
    const { code, output } = await run("watch-datamover.ts")
    assert.equal(code, 0, output)
    const primitives = (part: string) => [...part.matchAll(/ms +(?:->|<-) (\w+)/g)].map(([, name]) => name)
    const parts = output
      .split(/^(?:write|read) over \w+ +initiator +target$/m)
      .slice(1)
      .map(primitives)
    const write = [
      "sendCommand",
      "controlNotify",
      "getData",
      "dataCompletionNotify",
      "sendControl",
      "controlNotify",
    ]
    const read = ["sendCommand", "controlNotify", "putData", "sendControl", "controlNotify"]
    assert.deepEqual(parts, [write, read, write, read], output)
    assert.match(output, /^write over iser /m)
  })

  it("initiator-under-test.test.ts passes with our own initiator, and fails with one that doesn't write", async () => {
    const copy = "node --import tsx cli/main.ts copy {file} {url}"
    const good = await run("initiator-under-test.test.ts", { INITIATOR: copy })
    assert.equal(good.code, 0, good.output)
    assert.match(good.output, /^# pass 3$/m)
    const idle = await run("initiator-under-test.test.ts", { INITIATOR: "node --version" })
    assert.equal(idle.code, 1)
    assert.match(idle.output, /^# fail 3$/m)
  })
})
