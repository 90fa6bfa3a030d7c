import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test, type TestContext } from "node:test"
import fc from "fast-check"
import { SanletError } from "../../../../src/base/errors.ts"
import type { Log } from "../../../../src/base/log.ts"
import { silentLog } from "../../../../src/base/log.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { findFile, markOf } from "../../../../src/control/identity/file-mark.ts"
import { IdentityStore } from "../../../../src/control/identity/identity-store.ts"
import { isAlive, ownStamp } from "../../../../src/control/identity/process-stamp.ts"
import type { FileMark, IdentityRecord } from "../../../../src/control/identity/record.ts"

function setUp(t: TestContext) {
  const folder = fs.mkdtempSync(join(tmpdir(), "sanlet-identity-"))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  const state = join(folder, "state", "identities")
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (_fields, message) => warnings.push(message) }
  /** Another start of the program. */
  const restart = () => new IdentityStore(state, { log })
  const image = (name: string, content = name): string => {
    const path = join(folder, name)
    fs.writeFileSync(path, content)
    return path
  }
  return { folder, state, warnings, restart, image }
}

/** What a file gets when it is served and left again. */
async function serve(store: IdentityStore, file: string): Promise<string> {
  const { serial, naa, release } = await store.claim({ file })
  await release()
  return `${serial} ${naa}`
}

const rejectsWith = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SanletError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, message)
  return true
}

describe("the identity of a file", () => {
  test("is an NAA 3h, and a serial of the same digits", async (t) => {
    const { restart, image } = setUp(t)
    const claim = await restart().claim({ file: image("a.img") })
    assert.match(claim.naa, /^3[0-9a-f]{15}$/)
    assert.equal(claim.serial, claim.naa)
  })

  test("lasts over restarts, writes and crashes", async (t) => {
    const { restart, image } = setUp(t)
    const path = image("a.img")
    const first = await serve(restart(), path)
    fs.appendFileSync(path, "more")
    assert.equal(await serve(restart(), path), first)
  })

  test("moves with the file, whatever takes its place", async (t) => {
    const { folder, restart, image, warnings } = setUp(t)
    const first = await serve(restart(), image("a.img"))
    const moved = join(folder, "moved.img")
    fs.renameSync(join(folder, "a.img"), moved)
    const usurper = await serve(restart(), image("a.img", "another"))
    assert.notEqual(usurper, first)
    assert.deepEqual(warnings, ["another file than before is in this place: it gets an identity of its own"])
    assert.equal(await serve(restart(), moved), first)
    assert.equal(await serve(restart(), join(folder, "a.img")), usurper)
  })

  test("is not that of its copy, not even of an exact one that takes its place", async (t) => {
    const { folder, restart, image } = setUp(t)
    const path = image("a.img")
    const first = await serve(restart(), path)
    const copy = join(folder, "b.img")
    fs.copyFileSync(path, copy)
    const { atime, mtime } = fs.statSync(path)
    fs.utimesSync(copy, atime, mtime)
    const second = await serve(restart(), copy)
    assert.notEqual(second, first)
    fs.renameSync(path, join(folder, "old.img"))
    fs.renameSync(copy, path)
    assert.equal(await serve(restart(), path), second)
    assert.equal(await serve(restart(), join(folder, "old.img")), first)
  })

  test("follows symbolic links", async (t) => {
    const { folder, restart, image } = setUp(t)
    const path = image("a.img")
    const link = join(folder, "link.img")
    fs.symlinkSync(path, link)
    assert.equal(await serve(restart(), link), await serve(restart(), path))
  })

  test("survives a move to another file system: the same size and time, and the original gone", async (t) => {
    const { folder, restart, image } = setUp(t)
    const path = image("a.img")
    fs.utimesSync(path, 1_700_000_000, 1_700_000_000)
    const first = await serve(restart(), path)
    // What mv does between file systems.
    const moved = join(folder, "elsewhere.img")
    fs.copyFileSync(path, moved)
    fs.utimesSync(moved, 1_700_000_000, 1_700_000_000)
    fs.rmSync(path)
    assert.equal(await serve(restart(), moved), first)
  })

  test("isn't taken over by a copy with the same time as long as the original is there", async (t) => {
    const { folder, restart, image } = setUp(t)
    const path = image("a.img")
    fs.utimesSync(path, 1_700_000_000, 1_700_000_000)
    const first = await serve(restart(), path)
    const copy = join(folder, "copy.img")
    fs.copyFileSync(path, copy)
    fs.utimesSync(copy, 1_700_000_000, 1_700_000_000)
    assert.notEqual(await serve(restart(), copy), first)
    assert.equal(await serve(restart(), path), first)
  })

  test("a unit that is no file is known by its name", async (t) => {
    const { restart } = setUp(t)
    const claims = []
    for (const name of ["memory:iqn/0", "memory:iqn/1", "memory:iqn/0"]) {
      const claim = await restart().claim({ name })
      claims.push(claim.naa)
      await claim.release()
    }
    assert.equal(claims[0], claims[2])
    assert.notEqual(claims[0], claims[1])
  })
})

describe("which file is which", () => {
  const mark: FileMark = {
    path: "/images/a.img",
    dev: "1",
    ino: "42",
    birthtimeNs: "1000",
    sizeBytes: "4096",
    mtimeNs: "2000",
  }
  const recordOf = (file: FileMark): IdentityRecord => ({ serial: "a", naa: "3".padEnd(16, "0"), file })

  test("a device number may change at boot", async () => {
    const record = recordOf(mark)
    assert.equal(await findFile({ ...mark, dev: "9" }, [record]), record)
  })

  test("an inode number that is used again is another file", async () => {
    const later = { ...mark, birthtimeNs: "3000", mtimeNs: "3000" }
    assert.equal(await findFile(later, [recordOf(mark)]), undefined)
  })

  test("where births aren't known, the path must agree as well", async () => {
    const unknown = { ...mark, birthtimeNs: "0" }
    const record = recordOf(unknown)
    assert.equal(await findFile({ ...unknown, mtimeNs: "9" }, [record]), record)
    assert.equal(await findFile({ ...unknown, mtimeNs: "9", path: "/images/b.img" }, [record]), undefined)
  })

  test("a snapshot of a file system has other files than its original", async (t) => {
    const { image } = setUp(t)
    const original = await markOf(image("a.img"))
    const record = recordOf(original)
    assert.equal(await findFile({ ...original, path: "/snapshot/a.img", dev: "77" }, [record]), undefined)
    const hardLink = { ...original, path: `${original.path}.link` }
    assert.equal(await findFile(hardLink, [record]), record)
  })

  test("of two vanished files that fit, the name decides, or nothing", async () => {
    const a = recordOf({ ...mark, ino: "1" })
    const b = recordOf({ ...mark, ino: "2", path: "/images/b.img" })
    const arrived = { ...mark, ino: "3", path: "/new/b.img" }
    assert.equal(await findFile(arrived, [a, b]), b)
    assert.equal(await findFile({ ...arrived, path: "/new/c.img" }, [a, b]), undefined)
  })
})

describe("no two units share an identity", () => {
  test("a file that is served already isn't given out again, until it is released", async (t) => {
    const { restart, image, folder } = setUp(t)
    const path = image("a.img")
    fs.linkSync(path, join(folder, "hard.img"))
    const claim = await restart().claim({ file: path })
    for (const file of [path, join(folder, "hard.img")]) {
      await assert.rejects(
        restart().claim({ file }),
        rejectsWith("ERR_IDENTITY_IN_USE", /already served by another LUN$/),
      )
    }
    await claim.release()
    await claim.release()
    assert.equal(await serve(restart(), path), `${claim.serial} ${claim.naa}`)
  })

  test("another process holds it only as long as it lives", async (t) => {
    const { restart, image, state } = setUp(t)
    const path = image("a.img")
    const first = await serve(restart(), path)
    const file = join(state, fs.readdirSync(state).find((name) => name.endsWith(".json")) ?? "")
    const record = JSON.parse(fs.readFileSync(file, "utf8")) as IdentityRecord
    const other = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"], { stdio: "ignore" })
    t.after(() => other.kill())
    const stamp = stampOf(other.pid ?? 0)
    fs.writeFileSync(file, JSON.stringify({ ...record, holder: stamp }))
    await assert.rejects(
      restart().claim({ file: path }),
      rejectsWith("ERR_IDENTITY_IN_USE", new RegExp(`already served by process ${other.pid}$`)),
    )
    // The same process id, started at another time, is another process.
    fs.writeFileSync(file, JSON.stringify({ ...record, holder: `${stamp}9` }))
    assert.equal(await serve(restart(), path), first)
  })

  test("an identity from the configuration must be nobody else's", async (t) => {
    const { restart, image, folder } = setUp(t)
    const [a, b] = [image("a.img"), image("b.img")]
    const [serial = "", naa = ""] = (await serve(restart(), a)).split(" ")
    for (const wanted of [{ serial }, { naa }]) {
      await assert.rejects(
        restart().claim({ file: b }, wanted),
        rejectsWith(
          "ERR_IDENTITY_CONFLICT",
          /b\.img cannot have the \w+ \w+: it is the identity of .*a\.img$/,
        ),
      )
    }
    fs.rmSync(join(folder, "a.img"))
    const heir = await restart().claim({ file: b }, { serial })
    assert.equal(heir.serial, serial)
    await heir.release()
  })

  test("half an identity is made whole, and always the same way", async (t) => {
    const { restart, image } = setUp(t)
    const path = image("a.img")
    const claims = []
    for (const wanted of [
      { serial: "DISK-1" },
      {},
      { naa: "6001405000000000000000000000abcd" },
      { serial: "DISK-1" },
    ]) {
      const { serial, naa, release } = await restart().claim({ file: path }, wanted)
      claims.push({ serial, naa })
      await release()
    }
    assert.match(claims[0]?.naa ?? "", /^3[0-9a-f]{15}$/)
    assert.equal(claims[0]?.serial, "DISK-1")
    assert.deepEqual(claims[1], claims[0], "what was configured once is remembered")
    assert.deepEqual(claims[2], { serial: claims[2]?.naa, naa: "6001405000000000000000000000abcd" })
    assert.deepEqual(claims[3], claims[0])
  })

  test("many claims at once, by several stores", async (t) => {
    const { restart, image } = setUp(t)
    const stores = [restart(), restart(), restart()]
    const files = Array.from({ length: 30 }, (_, i) => image(`${i}.img`))
    const claims = await Promise.all(files.map((file, i) => stores[i % 3]!.claim({ file })))
    assert.equal(new Set(claims.map(({ naa }) => naa)).size, 30)
    assert.equal(new Set(claims.map(({ serial }) => serial)).size, 30)
  })

  test("whatever is moved, copied, removed and served, in any order", async (t) => {
    const slots = fc.integer({ min: 0, max: 3 })
    const step = fc.record({
      what: fc.constantFrom("move", "copy", "remove", "serve"),
      from: slots,
      to: slots,
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const { folder, restart, image } = setUp(t)
        /** By path: the identity the file there must have; undefined: it hasn't been served. */
        const expected = new Map<string, string | undefined>([[image("0.img"), undefined]])
        const given = new Set<string>()
        for (const { what, from, to } of steps) {
          const [source, target] = [join(folder, `${from}.img`), join(folder, `${to}.img`)]
          if (!expected.has(source) || (what !== "serve" && what !== "remove" && from === to)) continue
          if (what === "remove") {
            fs.rmSync(source)
            expected.delete(source)
          } else if (what === "move") {
            fs.renameSync(source, target)
            expected.set(target, expected.get(source))
            expected.delete(source)
          } else if (what === "copy") {
            fs.rmSync(target, { force: true })
            fs.copyFileSync(source, target)
            expected.set(target, undefined)
          } else {
            const identity = await serve(restart(), source)
            const before = expected.get(source)
            if (before === undefined) assert.ok(!given.has(identity), "a new file has a new identity")
            else assert.equal(identity, before)
            given.add(identity)
            expected.set(source, identity)
          }
        }
      }),
      { numRuns: 30 },
    )
  })
})

describe("the folder", () => {
  test("one that can't be written is told of, with what to do", async (t) => {
    const { folder, image } = setUp(t)
    const file = image("in-the-way")
    const store = new IdentityStore(join(file, "identities"))
    await assert.rejects(
      store.claim({ file: image("a.img") }),
      rejectsWith("ERR_STATE_FOLDER", /^cannot keep identities in .* \(ENOTDIR\); set XDG_STATE_HOME/),
    )
    assert.ok(fs.existsSync(folder))
  })

  test("the lock of a process that is gone is broken", async (t) => {
    const { restart, image, state } = setUp(t)
    const path = image("a.img")
    const first = await serve(restart(), path)
    const lock = join(state, "lock")
    fs.symlinkSync(`${ownStamp()}9`, lock)
    assert.equal(await serve(restart(), path), first)
    assert.ok(!fs.existsSync(lock))
    // Those of earlier releases were files, and empty where a crash came at the wrong moment.
    for (const content of [`${ownStamp()}9`, ""]) {
      fs.writeFileSync(lock, content)
      assert.equal(await serve(restart(), path), first)
    }
  })

  test("a lock of its own that couldn't be removed doesn't shut the process out", async (t) => {
    const { restart, image, state } = setUp(t)
    const path = image("a.img")
    const first = await serve(restart(), path)
    fs.symlinkSync(ownStamp(), join(state, "lock"))
    const atMs = performance.now()
    assert.equal(await serve(restart(), path), first)
    assert.ok(performance.now() - atMs < 2_000, "it isn't waited for")
  })

  test("a record that is none is passed over, and left alone", async (t) => {
    const { restart, image, state, warnings } = setUp(t)
    const path = image("a.img")
    const first = await serve(restart(), path)
    const broken = [
      "{",
      "null",
      "[]",
      '{"serial":1}',
      '{"serial":"a","naa":"3"}',
      '{"serial":"a","naa":"3000000000000000","file":{}}',
    ]
    for (const [i, text] of broken.entries()) fs.writeFileSync(join(state, `broken${i}.json`), text)
    assert.equal(await serve(restart(), path), first)
    assert.ok(warnings.every((warning) => /no identity record/.test(warning)))
    assert.equal(fs.readdirSync(state).length, broken.length + 1)
  })

  test("randomness that repeats itself gives no identity twice", async (t) => {
    const { state, image } = setUp(t)
    const naas = []
    for (const name of ["a.img", "b.img", "c.img"]) {
      const store = new IdentityStore(state, { random: new SeededRandom(7) })
      naas.push((await store.claim({ file: image(name) })).naa)
    }
    assert.equal(new Set(naas).size, 3)
  })
})

test("a process is told from a later one with its id", () => {
  assert.ok(isAlive(ownStamp()))
  assert.ok(!isAlive(""))
  assert.ok(!isAlive("x/y/z"))
  assert.ok(!isAlive(`another-boot/${process.pid}/1`))
})

function stampOf(pid: number): string {
  const [boot] = ownStamp().split("/")
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
  return `${boot}/${pid}/${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`
}
