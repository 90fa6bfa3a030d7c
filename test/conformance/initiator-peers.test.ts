import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { LoginError } from "../../src/iscsi/login/index.ts"
import { Disk, Initiator, type OpenOptions } from "../../src/initiator/index.ts"
import { diskSuite, pattern } from "../suites/disk.ts"
import { type Peer, startIstgt, startTgt } from "./peers.ts"

const running = async (start: () => Promise<Peer>) => {
  const peer = await start()
  return {
    open: (options: OpenOptions = {}) => Disk.open(peer.url, options),
    close: () => peer.close(),
  }
}

// Debian's tgt has no COMPARE AND WRITE, though its Block Limits page says so, and no digests unless configured.
diskSuite({
  name: "tgt",
  start: () => running(startTgt),
  features: { compareAndWrite: false, digests: false },
})

// istgt answers some commands with CHECK CONDITION and no sense data, VERIFY without taking its data, and after the
// response to ABORT TASK it still waits for the data of the write.
diskSuite({
  name: "istgt",
  start: () => running(startIstgt),
  features: { unmap: false, lbaStatus: false, verify: false, sense: false, abortsWrites: false },
})

describe("initiator with tgt", () => {
  const chap = {
    user: "reader",
    password: "a secret of 16 b",
    target: { user: "keeper", password: "another secret 1" },
  }
  let peer: Peer
  before(async () => {
    peer = await startTgt({ chap })
  })
  after(() => peer?.close())

  const url = (password: string, query = "") =>
    peer.url.replace("iscsi://", `iscsi://${chap.user}%${password}@`) + query

  test("is told of targets and LUNs", async () => {
    const initiator = new Initiator({ environment: {} })
    const found = await initiator.discover(`iscsi://127.0.0.1:${peer.port}`)
    assert.deepEqual(found, [
      { name: peer.target, addresses: [{ address: `127.0.0.1:${peer.port}`, portalGroupTag: 1 }] },
    ])
    const session = await initiator.login(url(chap.password))
    assert.deepEqual(await initiator.logicalUnits(session), [0, 1])
    await assert.rejects(Disk.on(session, 0), /controller/)
    await assert.rejects(Disk.on(session, 7), { code: "ERR_NO_UNIT" })
    await session.close()
  })

  test("logs in with CHAP, one-way and mutual", async () => {
    await (await Disk.open(url(chap.password))).close()
    const mutual = `?target_user=${chap.target.user}&target_password=${chap.target.password}`
    await (await Disk.open(url(chap.password, mutual))).close()
  })

  test("is refused with a wrong secret, and refuses a target with one", async () => {
    const denied = (error: unknown) =>
      error instanceof LoginError && error.code === "ERR_LOGIN_AUTHENTICATION_FAILURE"
    await assert.rejects(Disk.open(url("not the password")), denied)
    await assert.rejects(Disk.open(peer.url, { environment: {} }), LoginError)
    const wrong = `?target_user=${chap.target.user}&target_password=something else 1`
    await assert.rejects(Disk.open(url(chap.password, wrong)), denied)
  })
})

describe("initiator whose target is killed", () => {
  for (const [name, start] of [
    ["tgt", startTgt],
    ["istgt", startIstgt],
  ] as const) {
    test(`comes back to ${name} and goes on writing`, async () => {
      const peer = await start()
      const events: string[] = []
      try {
        const disk = await Disk.open(peer.url, { onEvent: ({ kind }) => events.push(kind) })
        const data = pattern(64 * 1024, 1)
        let next = 0
        let stop = false
        const worker = async () => {
          while (!stop) await disk.write((next++ % 512) * data.length, data)
        }
        const workers = Array.from({ length: 8 }, worker)
        while (next < 200) await disk.session.ping()
        await peer.kill()
        await peer.start()
        const at = next
        while (next < at + 300) await disk.readBlocks(0, new Uint8Array(disk.blockBytes))
        stop = true
        await Promise.all(workers)
        const back = new Uint8Array(data.length)
        for (let i = 0; i < Math.min(next, 512); i++) {
          await disk.read(i * data.length, back)
          assert.equal(Buffer.compare(back, data), 0, `write ${i}`)
        }
        assert.ok(events.includes("connection-lost") && events.includes("reconnected"), events.join(" "))
        await disk.close()
      } finally {
        await peer.close()
      }
    })
  }
})
