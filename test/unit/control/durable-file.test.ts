import assert from "node:assert/strict"
import fsp from "node:fs/promises"
import { describe, test, type TestContext } from "node:test"
import {
  absent,
  makeFolder,
  removeDrafts,
  removeFile,
  replaceFile,
} from "../../../src/control/durable-file.ts"
import { type CrashCount, crashPoints } from "../../suites/crash/points.ts"

const FOLDER = "/crash/state/things"
const PATH = `${FOLDER}/one`
const OLD = "old".repeat(500)
const FRESH = "fresh".repeat(700)

const told = (t: TestContext, { steps, starts }: CrashCount) =>
  t.diagnostic(`${steps} steps, ${starts} starts after a crash`)
const found = () => fsp.readFile(PATH, "utf8").catch(absent)

describe("a durable file", () => {
  test("is replaced as a whole or not at all", async (t) => {
    const count = await crashPoints({
      start: () => makeFolder(FOLDER),
      before: () => replaceFile(PATH, OLD),
      write: () => replaceFile(PATH, FRESH),
      find: found,
      old: OLD,
      fresh: FRESH,
    })
    assert.ok(count.steps >= 5, "draft, content, sync, rename, sync of the folder")
    told(t, count)
  })

  test("is made for the first time, its folders with it", async (t) => {
    const count = await crashPoints({
      start: async () => {},
      write: async () => {
        await makeFolder(FOLDER)
        await replaceFile(PATH, FRESH)
      },
      find: found,
      old: undefined,
      fresh: FRESH,
    })
    told(t, count)
  })

  test("is removed, and stays so", async (t) => {
    const count = await crashPoints({
      start: () => makeFolder(FOLDER),
      before: () => replaceFile(PATH, OLD),
      write: () => removeFile(PATH),
      find: found,
      old: OLD,
      fresh: undefined,
    })
    told(t, count)
  })

  test("a failure leaves no draft behind; what a crash leaves is removed", async () => {
    const left: string[][] = []
    await crashPoints({
      start: async () => {
        await makeFolder(FOLDER)
        await removeDrafts(FOLDER)
        assert.deepEqual(
          (await fsp.readdir(FOLDER)).filter((name) => name !== "one"),
          [],
        )
      },
      before: () => replaceFile(PATH, OLD),
      write: async () => {
        try {
          await replaceFile(PATH, FRESH)
        } finally {
          left.push(await fsp.readdir(FOLDER))
        }
      },
      find: found,
      old: OLD,
      fresh: FRESH,
    })
    assert.ok(left.length > 20)
    for (const names of left) assert.deepEqual(names, ["one"])
  })
})
