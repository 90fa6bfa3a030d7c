/** Our initiator with LIO, the Linux kernel's target, in a virtual machine: the disk suite, and what LIO does its own way. */
import assert from "node:assert/strict"
import { after, describe, test } from "node:test"
import { Disk, Initiator, type OpenOptions } from "../../src/initiator/index.ts"
import { diskSuite } from "../suites/disk.ts"
import { type Forwarded, forward } from "../rig/forward.ts"
import { type Guest, Rig } from "../rig/rig.ts"

const IQN = "iqn.2026-01.org.example:lio"

interface Lio {
  readonly rig: Rig
  readonly guest: Guest
  readonly port: Forwarded
}

let lio: Promise<Lio> | undefined

/** One machine for all of the file. */
function machine(): Promise<Lio> {
  lio ??= (async () => {
    const rig = await Rig.start()
    const guest = await rig.boot()
    const address = rig.network.guestAddress(guest.number)
    await guest.sh(`rig-lio add ${IQN} 64 ${address}:3260 emulate_tpu=1 emulate_tpws=1`)
    return { rig, guest, port: await forward(rig, address, 3260) }
  })()
  return lio
}

after(async () => {
  const running = await lio?.catch(() => undefined)
  await running?.port.close()
  await running?.rig.stop()
})

const urlOf = ({ port }: Lio): string => `iscsi://127.0.0.1:${port.port}/${IQN}/0`

diskSuite({
  name: "LIO",
  start: async () => {
    const url = urlOf(await machine())
    return { open: (options: OpenOptions = {}) => Disk.open(url, options), close: async () => {} }
  },
  // LIO says yes to VERIFY without comparing, and knows no GET LBA STATUS.
  features: { verify: false, lbaStatus: false },
})

describe("initiator with LIO", () => {
  test("is told of targets and LUNs", async () => {
    const { rig, port, guest } = await machine()
    const initiator = new Initiator({ environment: {} })
    const found = await initiator.discover(`iscsi://127.0.0.1:${port.port}`)
    const address = `${rig.network.guestAddress(guest.number)}:3260`
    assert.deepEqual(found, [{ name: IQN, addresses: [{ address, portalGroupTag: 1 }] }])
    const session = await initiator.login(urlOf(await machine()))
    assert.deepEqual(await initiator.logicalUnits(session), [0])
    await session.close()
  })

  test("logs in with CHAP, and is refused with a wrong secret", async () => {
    const { guest } = await machine()
    const tpg = `/sys/kernel/config/target/iscsi/${IQN}/tpgt_1`
    await guest.sh(
      `cd ${tpg} && echo 1 > attrib/authentication && echo -n reader > auth/userid && echo -n a-secret-of-16-by > auth/password`,
    )
    try {
      const plain = urlOf(await machine())
      const url = (secret: string): string => plain.replace("iscsi://", `iscsi://reader%${secret}@`)
      await (await Disk.open(url("a-secret-of-16-by"))).close()
      await assert.rejects(Disk.open(url("another-secret-16")), { code: "ERR_LOGIN_AUTHENTICATION_FAILURE" })
    } finally {
      await guest.sh(`echo 0 > ${tpg}/attrib/authentication`)
    }
  })

  test("comes back after the cable was pulled, with every write done", async () => {
    const { guest } = await machine()
    const events: string[] = []
    const disk = await Disk.open(urlOf(await machine()), {
      nopIntervalMs: 500,
      nopDeadlineMs: 1000,
      onEvent: ({ kind }) => events.push(kind),
    })
    const data = Buffer.alloc(64 * 1024, 0x5a)
    await guest.link(0, false)
    const writes = Array.from({ length: 16 }, (_, i) => disk.write(i * data.length, data))
    setTimeout(() => void guest.link(0, true), 3000)
    await Promise.all(writes)
    const back = new Uint8Array(data.length)
    for (let i = 0; i < writes.length; i++) {
      await disk.read(i * data.length, back)
      assert.equal(Buffer.compare(back, data), 0, `write ${i}`)
    }
    assert.ok(events.includes("reconnected"), events.join(" "))
    await disk.close()
  })
})
