import assert from "node:assert/strict"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test, type TestContext } from "node:test"
import { EncryptedStore } from "../../../../src/backstore/encryption/encrypted-store.ts"
import { FileStore } from "../../../../src/backstore/file.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { SanletError } from "../../../../src/base/errors.ts"
import { ATOMIC_WRITE_BYTES_MAX } from "../../../../src/base/limits.ts"
import { silentLog } from "../../../../src/base/log.ts"
import { FileUndoLog } from "../../../../src/control/identity/file-undo-log.ts"
import { IdentityStore } from "../../../../src/control/identity/identity-store.ts"
import { claimUnitFolder, FileRecords } from "../../../../src/control/identity/unit-folder.ts"
import { openUnitState } from "../../../../src/control/identity/unit-state.ts"
import { rollBack, UndoableWrites } from "../../../../src/scsi/sbc/undoable-writes.ts"

const KiB = 1024

function setUp(t: TestContext) {
  const folder = fs.mkdtempSync(join(tmpdir(), "sanlet-units-"))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  const image = (name: string, bytes: Uint8Array): string => {
    const path = join(folder, name)
    fs.writeFileSync(path, bytes)
    return path
  }
  const identities = () => new IdentityStore(join(folder, "identities"))
  return { folder, units: join(folder, "units"), image, identities }
}

const stateError = (error: unknown): boolean =>
  error instanceof SanletError && error.code === "ERR_STATE_FOLDER"
const pattern = (bytes: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * seed) >> 3)

describe("a unit's records", () => {
  test("last, each under its name, until they are removed", async (t) => {
    const { folder } = setUp(t)
    const records = await FileRecords.open(folder)
    assert.equal(records.get("medium-operation"), undefined)
    await records.put("medium-operation", Uint8Array.of(1))
    await Promise.all([
      records.put("identifying-text", Uint8Array.of(2)),
      records.put("identifying-text", Uint8Array.of(3)),
    ])
    const again = await FileRecords.open(folder)
    assert.deepEqual([...again.get("medium-operation")!, ...again.get("identifying-text")!], [1, 3])
    await again.put("medium-operation", undefined)
    await again.put("medium-operation", undefined)
    const last = await FileRecords.open(folder)
    assert.equal(last.get("medium-operation"), undefined)
    assert.deepEqual(fs.readdirSync(folder), ["identifying-text.record"])
  })

  test("keep the old value when the new one can't be kept", async (t) => {
    const { folder } = setUp(t)
    const records = await FileRecords.open(folder)
    await records.put("identifying-text", Uint8Array.of(1))
    fs.rmSync(folder, { recursive: true })
    await assert.rejects(records.put("identifying-text", Uint8Array.of(2)), stateError)
    assert.deepEqual([...records.get("identifying-text")!], [1])
    fs.mkdirSync(folder)
  })

  test("go with the identity of their file, under whatever name, and never to another's", async (t) => {
    const { units, image, identities } = setUp(t)
    const path = image("a.img", new Uint8Array(4096))
    const remember = async (wanted: { naa?: string; file?: string }) => {
      const { file = path, ...identity } = wanted
      const claim = await identities().claim({ file }, identity)
      const folder = await claimUnitFolder(units, claim)
      const records = await FileRecords.open(folder)
      return { claim, folder, records }
    }
    const first = await remember({})
    await first.records.put("medium-operation", Uint8Array.of(1))
    await first.claim.release()

    const again = await remember({})
    assert.equal(again.claim.move, undefined)
    assert.deepEqual([...again.records.get("medium-operation")!], [1])
    await again.claim.release()

    const renamed = await remember({ naa: "3000000000000001" })
    assert.deepEqual(renamed.claim.move, { from: [first.claim.naa], resumed: false })
    assert.deepEqual([...renamed.records.get("medium-operation")!], [1])
    assert.equal(fs.existsSync(first.folder), false)
    await renamed.claim.release()

    // The file is gone; another one is given its name.
    fs.rmSync(path)
    const other = await remember({ naa: "3000000000000001", file: image("b.img", new Uint8Array(100)) })
    assert.deepEqual(other.claim.move, { from: [], resumed: false })
    assert.equal(other.records.get("medium-operation"), undefined)
    await other.claim.release()
  })

  test("need a folder that can be used", async (t) => {
    const { folder, identities, image } = setUp(t)
    const claim = await identities().claim({ file: image("a.img", new Uint8Array(512)) })
    fs.writeFileSync(join(folder, "file"), "")
    await assert.rejects(claimUnitFolder(join(folder, "file"), claim), stateError)
    await assert.rejects(FileRecords.open(join(folder, "none")), stateError)
    await assert.rejects(FileUndoLog.open(join(folder, "none", "undo.log")), stateError)
  })
})

describe("the undo log", () => {
  test("brings back what a write that was cut off has changed, after a crash", async (t) => {
    const { units, identities, image } = setUp(t)
    const before = pattern(2048 * KiB, 7)
    const path = image("a.img", before)
    const claim = await identities().claim({ file: path })
    const folder = await claimUnitFolder(units, claim)
    const offset = 5 * KiB
    const bytes = ATOMIC_WRITE_BYTES_MAX
    for (const tornAt of [0, 1, 4096, 500 * KiB, bytes]) {
      const log = await FileUndoLog.open(join(folder, "undo.log"))
      const device = await FileStore.open(path)
      const write = device.write.bind(device)
      const after = pattern(bytes, 13)
      const crashed = new Promise<void>((resolve) => {
        device.write = async (at, from) => {
          if (tornAt > 0) await write(at, from.subarray(0, tornAt), false)
          resolve()
          return new Promise<never>(() => {})
        }
      })
      void new UndoableWrites(device, log).write(offset, after, {})
      await crashed
      await device.close()
      await log.close()
      const torn = fs.readFileSync(path).subarray(offset, offset + tornAt)
      assert.equal(Buffer.compare(torn, after.subarray(0, tornAt)), 0, "it was cut off there")

      const next = await FileStore.open(path)
      const state = await openUnitState(units, { ...claim, move: undefined }, next, silentLog)
      assert.equal(state.undoLog?.pending, undefined)
      await next.close()
      await state.close()
      assert.equal(Buffer.compare(fs.readFileSync(path), before), 0, `torn at ${tornAt}`)
    }
    await claim.release()
  })

  test("keeps half of a write from being served where it can't be undone", async (t) => {
    const { units, identities, image } = setUp(t)
    const path = image("a.img", pattern(64 * KiB, 7))
    const claim = await identities().claim({ file: path })
    const own = { ...claim, move: undefined }
    const folder = await claimUnitFolder(units, claim)
    const log = await FileUndoLog.open(join(folder, "undo.log"))
    await log.append(pattern(64 * KiB, 7).subarray(4096, 20480))
    await log.commit({ offsetBytes: 4096, lengthBytes: 16384 })
    await log.close()
    const openReadOnly = async () => {
      const device = await FileStore.open(path, { readOnly: true })
      try {
        const state = await openUnitState(units, own, device, silentLog)
        await state.close()
        return state
      } finally {
        await device.close()
      }
    }
    assert.equal((await openReadOnly()).undoLog, undefined, "it had not begun to write")

    const half = pattern(64 * KiB, 7)
    half.fill(0xee, 4096, 12288)
    fs.writeFileSync(path, half)
    await assert.rejects(openReadOnly(), {
      code: "ERR_TORN_WRITE",
      message: /a\.img holds half of an atomic write, and can't be written to undo it/,
    })
    assert.equal(Buffer.compare(fs.readFileSync(path), half), 0)

    const device = await FileStore.open(path)
    const state = await openUnitState(units, own, device, silentLog)
    await state.close()
    await device.close()
    assert.equal(Buffer.compare(fs.readFileSync(path), pattern(64 * KiB, 7)), 0)
    await openReadOnly()
    await claim.release()
  })

  test("of a device that encrypts is encrypted, too, and brings back what was there", async (t) => {
    const { units, identities, folder } = setUp(t)
    const path = join(folder, "a.img")
    const key = pattern(32, 99)
    const open = async (sizeBytes?: number) =>
      EncryptedStore.open(await FileStore.open(path, sizeBytes ? { sizeBytes, create: true } : {}), key)
    const device = await open(2048 * KiB)
    const before = Buffer.alloc(300 * KiB, "a secret worth keeping, over and over. ")
    await device.write(8 * KiB, before, true)
    const claim = await identities().claim({ file: path })
    const state = await openUnitState(units, claim, device, silentLog)
    const crashed = new Promise<void>((resolve) => {
      const write = device.write.bind(device)
      device.write = async (at, from) => {
        await write(at, from.subarray(0, 100 * KiB), false)
        resolve()
        return new Promise<never>(() => {})
      }
    })
    void new UndoableWrites(device, state.undoLog!).write(8 * KiB, Buffer.alloc(300 * KiB, 1), {})
    await crashed
    await state.close()
    await device.close()
    const kept = fs.readFileSync(join(units, claim.naa, "undo.log"))
    assert.ok(kept.length > before.length)
    assert.equal(kept.indexOf("secret"), -1)

    const next = await open()
    const found = new Uint8Array(before.length)
    await next.read(8 * KiB, found)
    assert.notEqual(Buffer.compare(found, before), 0)
    const undone = await openUnitState(units, { ...claim, move: undefined }, next, silentLog)
    await next.read(8 * KiB, found)
    assert.equal(Buffer.compare(found, before), 0)
    // The log has room for the next one, from its beginning.
    const writes = new UndoableWrites(next, undone.undoLog!)
    for (const seed of [3, 5]) await writes.write(0, pattern(20 * KiB, seed), {})
    assert.equal(undone.undoLog?.pending, undefined)
    await undone.close()
    await next.close()
    await claim.release()
  })

  test("has nothing to undo once a write has ended, and before it began", async (t) => {
    const { folder } = setUp(t)
    const path = join(folder, "undo.log")
    const device = new MemoryStore({ sizeBytes: 64 * KiB })
    const log = await FileUndoLog.open(path)
    await new UndoableWrites(device, log).write(512, new Uint8Array(4096).fill(1), {})
    await log.append(new Uint8Array(4096))
    await log.close()
    const again = await FileUndoLog.open(path)
    assert.equal(again.pending, undefined)
    await rollBack(device, again)
    const stored = new Uint8Array(4096)
    device.read(512, stored)
    assert.ok(stored.every((byte) => byte === 1))
    await again.close()
  })

  test("doesn't take for a record what was written in part, or has changed since", async (t) => {
    const { folder } = setUp(t)
    const path = join(folder, "undo.log")
    const log = await FileUndoLog.open(path)
    await log.append(new Uint8Array(8192).fill(3))
    await log.commit({ offsetBytes: 2 ** 40 + 512, lengthBytes: 8192 })
    await log.close()
    const whole = fs.readFileSync(path)
    const pendingIn = async (bytes: Uint8Array) => {
      fs.writeFileSync(path, bytes)
      const opened = await FileUndoLog.open(path)
      await opened.close()
      return opened.pending
    }
    assert.deepEqual(await pendingIn(whole), { offsetBytes: 2 ** 40 + 512, lengthBytes: 8192 })
    for (const at of [0, 9, 17, 21, 29, 4096, 4096 + 8191]) {
      const changed = Uint8Array.from(whole)
      changed[at]! ^= 1
      assert.equal(await pendingIn(changed), undefined, `byte ${at}`)
    }
    for (const bytes of [0, 10, 32, 4096, whole.length - 1]) {
      assert.equal(await pendingIn(whole.subarray(0, bytes)), undefined, `${bytes} bytes`)
    }
  })

  test("keeps nothing of the medium once it is wiped", async (t) => {
    const { folder } = setUp(t)
    const path = join(folder, "undo.log")
    const log = await FileUndoLog.open(path)
    await log.append(new Uint8Array(8192).fill(3))
    await log.commit({ offsetBytes: 0, lengthBytes: 8192 })
    await log.clear()
    assert.ok(fs.readFileSync(path).includes(3))
    await log.wipe()
    await log.close()
    assert.ok(fs.readFileSync(path).every((byte) => byte === 0))
  })

  test("isn't made for what can't be written, or ends with the process", async (t) => {
    const { units, identities, image } = setUp(t)
    const claim = await identities().claim({ file: image("a.img", new Uint8Array(4096)) })
    const memory = await openUnitState(units, claim, new MemoryStore({ sizeBytes: 4096 }), silentLog)
    assert.equal(memory.undoLog, undefined)
    const device = await FileStore.open(join(units, "..", "a.img"), { readOnly: true })
    const state = await openUnitState(units, claim, device, silentLog)
    assert.equal(state.undoLog, undefined)
    assert.deepEqual(fs.readdirSync(join(units, claim.naa)), [])
    await device.close()
    await claim.release()
  })
})
