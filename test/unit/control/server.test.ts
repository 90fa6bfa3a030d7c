import assert from "node:assert/strict"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test, type TestContext } from "node:test"
import { systemClock } from "../../../src/base/clock.ts"
import type { Log } from "../../../src/base/log.ts"
import { silentLog } from "../../../src/base/log.ts"
import { nodeNetwork } from "../../../src/base/node-network.ts"
import { systemRandom } from "../../../src/base/random.ts"
import type { Configuration } from "../../../src/control/config/schema.ts"
import { Disk } from "../../../src/initiator/index.ts"
import * as cdb from "../../../src/scsi/cdb/index.ts"
import { PersistentReserveIn, PersistentReserveOut } from "../../../src/scsi/spec/operation-code.ts"
import { Asc } from "../../../src/scsi/spec/sense.ts"
import { startServer } from "../../../src/server.ts"

function setUp(t: TestContext) {
  const folder = fs.mkdtempSync(join(tmpdir(), "sanlet-server-"))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (_fields, message) => warnings.push(message) }
  const stateFolder = join(folder, "state")
  const around = { network: nodeNetwork, clock: systemClock, random: systemRandom, log, stateFolder }
  return { folder, warnings, start: (configuration: Configuration) => startServer(configuration, around) }
}

const file = (path: string) => ({ type: "file", path, sizeBytes: 2 ** 20, cache: "write-back" }) as const

function configurationOf(paths: string[], port = 0): Configuration {
  return {
    portals: [{ listen: { host: "127.0.0.1", port }, group: 1 }],
    targets: [
      { name: "iqn.2026-01.org.example:a", luns: paths.map((path, lun) => ({ lun, device: file(path) })) },
    ],
    log: {},
  }
}

describe("a server", () => {
  test("tells of the way to a unit that has the best access state; others have theirs", async (t) => {
    const { folder, start } = setUp(t)
    const configuration = configurationOf([join(folder, "a.img")])
    const server = await start({
      ...configuration,
      portals: [1, 2].map((group) => ({ listen: { host: "127.0.0.1", port: 0 }, group })),
      targets: [
        {
          ...configuration.targets[0]!,
          alua: { groups: [{ portalGroups: [1], state: "standby" }, { portalGroups: [2] }] },
        },
      ],
    })
    t.after(() => server.close())
    const [standby, optimized] = server.portals.map(({ address }) => address)
    const { url = "" } = server.units[0] ?? {}
    assert.ok(url.includes(optimized!), url)
    const disk = await Disk.open(url)
    await disk.read(0, new Uint8Array(512))
    await disk.close()
    await assert.rejects(Disk.open(url.replace(optimized!, standby!)), /TARGET PORT IN STANDBY STATE/)
  })

  test("serves what its configuration says, under each unit's own identity", async (t) => {
    const { folder, start, warnings } = setUp(t)
    const configuration = configurationOf([join(folder, "a.img"), join(folder, "b.img")])
    const server = await start({
      ...configuration,
      targets: [
        {
          ...configuration.targets[0]!,
          luns: [
            {
              lun: 3,
              device: file(join(folder, "a.img")),
              serial: "SERIAL-3",
              vendor: "ACME",
              product: "Wonder",
            },
            {
              lun: 7,
              device: { type: "readonly", on: { type: "memory", sizeBytes: 2 ** 20 } },
              blockSize: 4096,
            },
          ],
        },
      ],
    })
    t.after(() => server.close())
    assert.deepEqual(
      server.units.map(({ lun, readOnly, blockBytes }) => [lun, readOnly, blockBytes]),
      [
        [3, false, 512],
        [7, true, 4096],
      ],
    )
    for (const unit of server.units) {
      const disk = await Disk.open(unit.url)
      assert.equal(disk.identity.serial, unit.serial)
      assert.equal(disk.identity.designators[0], `naa.${unit.naa}`)
      assert.equal(disk.blockBytes, unit.blockBytes)
      assert.equal(disk.modes.writeProtected, unit.readOnly)
      assert.equal(disk.inquiry.vendor, unit.lun === 3 ? "ACME" : "sanlet")
      await disk.close()
    }
    assert.equal(server.units[0]?.serial, "SERIAL-3")
    assert.deepEqual(warnings, [])
  })

  test("a disk's physical blocks, its provisioning and its WRITE SAME of 0 blocks are what is configured", async (t) => {
    const { folder, start } = setUp(t)
    const [target] = configurationOf([]).targets
    const device = (name: string) => file(join(folder, name))
    const luns = [
      { lun: 0, device: device("plain.img") },
      { lun: 1, device: device("physical.img"), physicalBlockSize: 4096 },
      { lun: 2, device: device("full.img"), thin: false, writeSameToEnd: true },
    ] as const
    const server = await start({ ...configurationOf([]), targets: [{ ...target!, luns: [...luns] }] })
    t.after(() => server.close())
    const found: unknown[] = []
    for (const { url } of server.units) {
      const disk = await Disk.open(url)
      const capacity = new Uint8Array(32)
      await disk.execute(Uint8Array.from([0x9e, 0x10, ...new Uint8Array(11), 32, 0, 0]), { dataIn: capacity })
      const limits = new Uint8Array(64)
      await disk.execute(Uint8Array.of(0x12, 1, 0xb0, 0, 64, 0), { dataIn: limits })
      found.push([capacity[13]! & 0x0f, capacity[14]! >> 7, limits[4]! & 1])
      await disk.close()
    }
    assert.deepEqual(found, [
      [0, 1, 1],
      [3, 1, 1],
      [0, 0, 0],
    ])
  })

  test("serves removable disks and CD-ROM drives, also without a medium", async (t) => {
    const { folder, start } = setUp(t)
    const iso = join(folder, "disc.iso")
    fs.writeFileSync(iso, Buffer.alloc(9000, 1)) // four sectors and a rest
    fs.chmodSync(iso, 0o400)
    const disc = { type: "file", path: iso, cache: "write-back" } as const
    const [target] = configurationOf([]).targets
    const luns = [
      { lun: 0, type: "cdrom", device: disc },
      { lun: 1, type: "cdrom" },
      { lun: 2, removable: true, device: file(join(folder, "stick.img")) },
      { lun: 3, removable: true },
    ] as const
    const configuration = { ...configurationOf([]), targets: [{ ...target!, luns: [...luns] }] }
    const server = await start(configuration)
    const { units } = server
    assert.deepEqual(
      units.map(({ type, blockBytes, readOnly, sizeBytes }) => [type, blockBytes, readOnly, sizeBytes]),
      [
        ["cdrom", 2048, true, 9000],
        ["cdrom", 2048, true, 0],
        ["disk", 512, false, 2 ** 20],
        ["disk", 512, false, 0],
      ],
    )
    assert.equal(new Set(units.map(({ serial }) => serial)).size, 4)
    for (const unit of units.slice(0, 2))
      await assert.rejects(Disk.open(unit.url), /is a CD\/DVD, not a disk/)
    const disk = await Disk.open(units[2]!.url)
    assert.equal(disk.inquiry.removable, true)
    await disk.close()
    await assert.rejects(Disk.open(units[3]!.url), /MEDIUM NOT PRESENT/)
    await server.close()
    const again = await start(configuration)
    t.after(() => again.close())
    assert.deepEqual(
      again.units.map(({ serial }) => serial),
      units.map(({ serial }) => serial),
    )
  })

  test("goes over to another configuration: access states, media that go from drive to drive, in order", async (t) => {
    const { folder, start } = setUp(t)
    const image = file(join(folder, "stick.img"))
    const configured = (state: "standby" | "active/optimized", first: object, second: object) => ({
      ...configurationOf([]),
      targets: [
        {
          ...configurationOf([]).targets[0]!,
          alua: { groups: [{ id: 5, portalGroups: [1], state }] },
          luns: [
            { lun: 0, removable: true, ...first },
            { lun: 1, removable: true, ...second },
          ],
        },
      ],
    })
    const server = await start(configured("standby", {}, { device: image }))
    t.after(() => server.close())
    const [{ url }] = server.units as [(typeof server.units)[0]]
    await assert.rejects(Disk.open(url), /TARGET PORT IN STANDBY STATE/)
    const wanted = configured("active/optimized", { device: image }, {})
    await Promise.all([server.reconfigure(wanted), server.reconfigure(wanted)])
    assert.deepEqual(
      server.units.map(({ device, sizeBytes }) => [device, sizeBytes]),
      [
        [image.path, 2 ** 20],
        ["no medium", 0],
      ],
    )
    const disk = await Disk.open(url)
    await disk.write(0, Buffer.alloc(512, 7))
    await disk.close()
    const closing = [server.reconfigure(configured("standby", {}, {})), server.close()]
    await Promise.all(closing)
    assert.equal(fs.readFileSync(image.path)[0], 7)
    await (await start(configurationOf([image.path]))).close()
  })

  test("leaves nothing open when it can't start, whatever the reason", async (t) => {
    const { folder, start } = setUp(t)
    const [a, b] = [join(folder, "a.img"), join(folder, "b.img")]
    const busy = await start(configurationOf([b]))
    const port = Number(busy.portals[0]?.address.split(":")[1])
    await assert.rejects(start(configurationOf([a], port)), { code: "ERR_ADDRESS_IN_USE" })
    await assert.rejects(start(configurationOf([a, b])), { code: "ERR_STORE_IN_USE" })
    await assert.rejects(start(configurationOf([a, join(folder, "no", "where.img")])), {
      code: "ERR_STORE_NOT_FOUND",
    })
    const taken = configurationOf([a])
    const lun = { ...taken.targets[0]!.luns[0]!, serial: busy.units[0]!.serial }
    const wanted = { ...taken, targets: [{ ...taken.targets[0]!, luns: [lun] }] }
    await assert.rejects(start(wanted), { code: "ERR_IDENTITY_CONFLICT" })
    const disc = { ...taken.targets[0]!.luns[0]!, type: "cdrom", serial: "DISC" } as const
    const short = join(folder, "short.iso")
    fs.writeFileSync(short, Buffer.alloc(2047))
    const tooShort = { ...disc, device: { ...file(short), sizeBytes: 2047 } }
    const unfit = { ...taken, targets: [{ ...taken.targets[0]!, luns: [tooShort] }] }
    await assert.rejects(start(unfit), { code: "ERR_DISK_OPTION" })
    await assert.rejects(start(unfit), { code: "ERR_DISK_OPTION" }, "and its identity is free again")
    await busy.close()
    const server = await start(configurationOf([a, b]))
    await server.close()
  })

  test("on closing, logs initiators out and flushes; closing twice is closing once", async (t) => {
    const { folder, start } = setUp(t)
    const server = await start(configurationOf([join(folder, "a.img")]))
    const disk = await Disk.open(server.units[0]!.url, { reconnect: false })
    await disk.write(4096, Buffer.alloc(4096, 7))
    await Promise.all([server.close(), server.close()])
    await assert.rejects(disk.read(0, new Uint8Array(512)))
    const bytes = fs.readFileSync(join(folder, "a.img"))
    assert.ok(bytes.subarray(4096, 8192).every((byte) => byte === 7))
    await disk.close()
  })

  test("is reached under loopback when it listens everywhere, and says who may get in", async (t) => {
    const { folder, start, warnings } = setUp(t)
    const configuration = configurationOf([join(folder, "a.img")])
    const server = await start({
      ...configuration,
      portals: [{ listen: { host: "0.0.0.0", port: 0 }, group: 1 }],
    })
    t.after(() => server.close())
    assert.match(server.units[0]?.url ?? "", /^iscsi:\/\/127\.0\.0\.1:\d+\/iqn\.2026-01\.org\.example:a\/0$/)
    assert.match(warnings[0] ?? "", /neither CHAP nor an access list/)
  })

  test("persistent reservations outlive it with APTPL; where they are damaged the unit is closed", async (t) => {
    const { folder, start, warnings } = setUp(t)
    const configuration = configurationOf([join(folder, "a.img")])
    const readKeys = cdb.persistentReserveIn(PersistentReserveIn.readKeys, 24)
    const run = async (work: (disk: Disk) => Promise<void>): Promise<string> => {
      const server = await start(configuration)
      const [unit] = server.units
      try {
        const disk = await Disk.open(unit!.url, { reconnect: false })
        await work(disk)
        await disk.close()
      } finally {
        await server.close()
      }
      return join(folder, "state", "reservations", `${unit!.naa}.json`)
    }
    const register = (throughPowerLoss: boolean) => async (disk: Disk) => {
      const dataOut = cdb.persistentReserveList({ actionKey: 0x1122n, throughPowerLoss })
      const { registerAndIgnoreExistingKey } = PersistentReserveOut
      await disk.execute(cdb.persistentReserveOut(registerAndIgnoreExistingKey, 24), { dataOut })
    }
    const keys = async (disk: Disk): Promise<bigint[]> => {
      const dataIn = new Uint8Array(24)
      await disk.execute(readKeys, { dataIn })
      const view = new DataView(dataIn.buffer)
      return Array.from({ length: view.getUint32(4) / 8 }, (_, i) => view.getBigUint64(8 + 8 * i))
    }
    await run(register(false))
    const path = await run(async (disk) => assert.deepEqual(await keys(disk), []))
    await run(register(true))
    await run(async (disk) => assert.deepEqual(await keys(disk), [0x1122n]))
    fs.truncateSync(path, 40)
    await assert.rejects(
      run(async () => {}),
      /PERSISTENT RESERVATION INFORMATION LOST/,
    )
    assert.match(warnings.at(-1)!, /are damaged/)
    fs.rmSync(path)
    await run(async (disk) => assert.deepEqual(await keys(disk), []))
  })

  test("keeps protection information over a restart, and refuses an image that has another type or none", async (t) => {
    const { folder, start } = setUp(t)
    const path = join(folder, "a.img")
    const configured = (protection: { type: 1 | 2 | 3 }): Configuration => {
      const base = configurationOf([path])
      const [target] = base.targets
      const [lun] = target!.luns
      return { ...base, targets: [{ ...target!, luns: [{ ...lun!, protection }] }] }
    }
    const dataOut = new Uint8Array(520)
    dataOut.fill(0xff, 0, 4)
    dataOut.set([0x7c, 0x81], 512) // a guard that is wrong
    const run = async (work: (disk: Disk) => Promise<void>) => {
      const server = await start(configured({ type: 1 }))
      try {
        const disk = await Disk.open(server.units[0]!.url)
        try {
          await work(disk)
        } finally {
          await disk.close()
        }
      } finally {
        await server.close()
      }
    }
    await run(async (disk) => {
      assert.equal(disk.countBlocks, Math.floor((2 ** 20 - 4096) / 528))
      await disk.execute(cdb.write10(0, 1, 3 << 5), { dataOut })
    })
    await run(async (disk) => {
      const dataIn = new Uint8Array(520)
      await disk.execute(cdb.read10(0, 1, 3 << 5), { dataIn })
      assert.deepEqual(dataIn, dataOut)
      const { sense } = await disk.execute(cdb.read10(0, 1), { dataIn: new Uint8Array(512) })
      assert.equal(sense?.asc, Asc.logicalBlockGuardCheckFailed)
    })
    await assert.rejects(start(configured({ type: 2 })), /type 1 protection, not of 512 with type 2/)
    fs.writeFileSync(path, Buffer.alloc(2 ** 20, 1))
    await assert.rejects(start(configured({ type: 1 })), /data without protection information/)
  })
})
