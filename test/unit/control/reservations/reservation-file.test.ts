import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test, type TestContext } from "node:test"
import fc from "fast-check"
import { SanletError } from "../../../../src/base/errors.ts"
import { type Log, silentLog } from "../../../../src/base/log.ts"
import { decodeState, encodeState } from "../../../../src/control/reservations/format.ts"
import { ReservationFile } from "../../../../src/control/reservations/reservation-file.ts"
import { nexusName } from "../../../../src/scsi/sam/nexus.ts"
import {
  isAllRegistrants,
  type PersistentState,
  type Registration,
} from "../../../../src/scsi/sam/persistent-state.ts"
import { PersistentType } from "../../../../src/scsi/spec/persistent-type.ts"

const NAA = "3000000000000001"

function setUp(t: TestContext) {
  const root = fs.mkdtempSync(join(tmpdir(), "sanlet-reservations-"))
  t.after(() => fs.rmSync(root, { recursive: true }))
  const folder = join(root, "state", "reservations")
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (_fields, message) => warnings.push(message) }
  const open = (): Promise<ReservationFile> => ReservationFile.open(folder, NAA, log)
  return { folder, path: join(folder, `${NAA}.json`), warnings, open }
}

function registration(host: string, key: bigint, port = 1): [string, Registration] {
  const initiatorPortName = `iqn.2026-01.org.example:${host},i,0x000000000001`
  const targetPort = {
    targetPortName: `iqn.2026-01.org.example:t,t,0x000${port}`,
    relativeTargetPort: port,
  }
  return [nexusName(initiatorPortName, targetPort), { initiatorPortName, targetPort, key }]
}

const before: PersistentState = { registrations: new Map([registration("a", 1n)]), activated: true }
const after: PersistentState = {
  registrations: new Map([registration("b", 0xffff_ffff_ffff_ffffn, 2), registration("a", 1n)]),
  reservation: { type: PersistentType.writeExclusive, holder: registration("a", 1n)[0] },
  activated: true,
}

describe("what is kept of persistent reservations", () => {
  test("is found again as it was", () => {
    const all = fc.uniqueArray(
      fc.record({ host: fc.stringMatching(/^[a-zü"\\]{1,9}$/), key: fc.bigInt(1n, 2n ** 64n - 1n) }),
      {
        selector: ({ host }) => host,
        maxLength: 5,
      },
    )
    fc.assert(
      fc.property(
        all,
        fc.option(fc.constantFrom(...Object.values(PersistentType))),
        fc.nat(),
        (hosts, type, which) => {
          const registrations = new Map(hosts.map(({ host, key }) => registration(host, key)))
          const holder = [...registrations.keys()][which % Math.max(1, registrations.size)]
          const reservation =
            type === null || holder === undefined
              ? undefined
              : isAllRegistrants(type)
                ? { type }
                : { type, holder }
          const state = { registrations, activated: true, ...(reservation && { reservation }) }
          assert.deepEqual(decodeState(encodeState(state)), state)
        },
      ),
    )
  })

  test("or not at all: no byte may be missing or another", () => {
    const text = encodeState(after)
    for (let length = 0; length < text.length; length++) {
      assert.equal(decodeState(text.slice(0, length)), undefined, `cut to ${length}`)
    }
    for (let i = 0; i < text.length; i++) {
      const other = text[i] === "0" ? "1" : "0"
      assert.equal(decodeState(text.slice(0, i) + other + text.slice(i + 1)), undefined, `byte ${i}`)
    }
    assert.equal(decodeState(`${text}more\n`), undefined)
  })
})

describe("a reservation file", () => {
  test("is there while something is to be kept", async (t) => {
    const { open, path, folder } = setUp(t)
    const store = await open()
    assert.equal(store.found, undefined)
    await store.save(undefined)
    await store.save(after)
    assert.deepEqual((await open()).found, after)
    assert.equal(fs.statSync(path).mode & 0o777, 0o600)
    assert.deepEqual(fs.readdirSync(folder), [`${NAA}.json`])
    await store.save(undefined)
    await store.save(undefined)
    assert.deepEqual(fs.readdirSync(folder), [])
    assert.equal((await open()).found, undefined)
  })

  test("a crash at any point of a replacement leaves the state before or the one after", async (t) => {
    const { open, path, folder, warnings } = setUp(t)
    await (await open()).save(before)
    const text = encodeState(after)
    const draft = `${path}.12345.tmp`
    for (let length = 0; length <= text.length; length += 7) {
      fs.writeFileSync(draft, text.slice(0, length)) // as far as it came
      assert.deepEqual((await open()).found, before, `cut to ${length}`)
      assert.deepEqual(fs.readdirSync(folder), [`${NAA}.json`], "what a crash has left is removed")
    }
    fs.writeFileSync(draft, text)
    fs.renameSync(draft, path)
    assert.deepEqual((await open()).found, after)
    assert.deepEqual(warnings, [])
  })

  test("with a torn tail it is lost, not empty; the next save mends it", async (t) => {
    const { open, path, warnings } = setUp(t)
    await (await open()).save(after)
    const whole = fs.readFileSync(path)
    for (const length of [0, 1, whole.length >> 1, whole.length - 1]) {
      fs.writeFileSync(path, whole.subarray(0, length))
      assert.equal((await open()).found, "lost", `cut to ${length}`)
    }
    assert.match(warnings[0]!, /damaged: it is closed until an initiator replaces them/)
    await (await open()).save(before)
    assert.deepEqual((await open()).found, before)
    fs.writeFileSync(path, "")
    await (await open()).save(undefined)
    assert.equal((await open()).found, undefined)
  })

  test("a failure is told, and leaves what was there", async (t) => {
    const { open, path } = setUp(t)
    const store = await open()
    await store.save(before)
    fs.mkdirSync(`${path}.${process.pid}.tmp`)
    await assert.rejects(store.save(after), /EISDIR/)
    fs.rmdirSync(`${path}.${process.pid}.tmp`)
    assert.deepEqual((await open()).found, before)
    await store.save(after)
    assert.deepEqual((await open()).found, after)
  })

  test("a folder that can't be used", async (t) => {
    const { folder } = setUp(t)
    fs.mkdirSync(join(folder, ".."), { recursive: true })
    fs.writeFileSync(folder, "a file")
    await assert.rejects(ReservationFile.open(folder, NAA), (error) => {
      assert.ok(error instanceof SanletError)
      assert.equal(error.code, "ERR_STATE_FOLDER")
      return true
    })
  })

  test("kill -9: what a process has said to be stable is found", async (t) => {
    const { folder, open } = setUp(t)
    const script = `
      const { ReservationFile } = await import(${JSON.stringify(new URL("../../../../src/control/reservations/reservation-file.ts", import.meta.url).href)})
      const store = await ReservationFile.open(${JSON.stringify(folder)}, "${NAA}")
      for (let key = 1n; ; key++) {
        const targetPort = { targetPortName: "t,t,0x0001", relativeTargetPort: 1 }
        const all = [["i,i,0x1 t,t,0x0001", { initiatorPortName: "i,i,0x1", targetPort, key }]]
        await store.save({ registrations: new Map(all), activated: true })
        process.stdout.write(key + "\\n")
      }`
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
        stdio: ["ignore", "pipe", "inherit"],
      })
      let told = ""
      await new Promise<void>((resolve, reject) => {
        child.on("error", reject)
        child.on("exit", () => resolve())
        child.stdout.on("data", (text) => {
          told += String(text)
          if (told.split("\n").length > 20 + 17 * round) child.kill("SIGKILL")
        })
      })
      const last = BigInt(told.slice(0, told.lastIndexOf("\n")).split("\n").at(-1)!)
      const { found } = await open()
      assert.ok(found !== undefined && found !== "lost")
      const [only] = found.registrations.values()
      assert.ok(only!.key === last || only!.key === last + 1n, `${only!.key} found, ${last} said`)
    }
  })
})
