/** What was flushed survives kill -9 of the process that wrote it. */
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { after, describe, test } from "node:test"
import { type CacheMode, FileStore } from "../../../src/backstore/index.ts"
import { systemCalls } from "../../../src/backstore/system-calls.ts"
import { pattern, readBytes, same } from "../../suites/block-device.ts"

const BLOCK = 16 * 1024
const BLOCKS = 64
const systemCallsHaveLibc = (await systemCalls()).libc !== undefined
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "sanlet-durability-"))
after(() => fs.rmSync(directory, { recursive: true }))

/** Writes blocks without end, each round with other bytes; says which ones are stable, and goes on writing. */
const writer = (image: string, cache: CacheMode, how: "flush" | "fua" | "acknowledged"): string => `
  import { FileStore } from ${JSON.stringify(new URL("../../../src/backstore/index.ts", import.meta.url).href)}
  import { pattern } from ${JSON.stringify(new URL("../../suites/block-device.ts", import.meta.url).href)}
  const options = { sizeBytes: ${BLOCK * BLOCKS}, create: true, cache: ${JSON.stringify(cache)} }
  const store = await FileStore.open(${JSON.stringify(image)}, options)
  for (let i = 0; i < ${BLOCKS}; i++) {
    await store.write(i * ${BLOCK}, pattern(${BLOCK}, i), ${how === "fua"})
    if (${how === "flush"}) await store.flush()
    console.log(i)
  }
  setInterval(() => {}, 1000)`

describe("kill -9", () => {
  for (const [cache, how] of [
    ["write-back", "flush"],
    ["write-back", "fua"],
    ["write-through", "acknowledged"],
    ["direct", "flush"],
  ] as const) {
    const skip = cache === "direct" && !systemCallsHaveLibc && "direct I/O needs Linux and the koffi package"
    test(`loses nothing that was stable: ${cache}, ${how}`, { skip }, async () => {
      const image = path.join(directory, `${cache}-${how}.img`)
      const stable = await killAfter(writer(image, cache, how), 20)
      const store = await FileStore.open(image) // the dead writer's lock is gone
      assert.equal(store.sizeBytes, BLOCK * BLOCKS)
      assert.ok(stable >= 20)
      for (let i = 0; i < stable; i++) same(await readBytes(store, i * BLOCK, BLOCK), pattern(BLOCK, i))
      await store.close()
    })
  }
})

/** Runs a program that prints a line per stable block; kills it at line `lines`. Returns how many lines came. */
async function killAfter(program: string, lines: number): Promise<number> {
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  let count = 0
  for await (const _line of createInterface({ input: child.stdout }))
    if (++count === lines) child.kill("SIGKILL")
  assert.equal(
    child.signalCode ?? (await new Promise((end) => child.once("exit", (_code, signal) => end(signal)))),
    "SIGKILL",
  )
  return count
}
