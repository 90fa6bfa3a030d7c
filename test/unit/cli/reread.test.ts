/** `sanlet serve --config` in a process of its own is told by SIGHUP to take up its file as it is now. */
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import fs from "node:fs"
import { test, type TestContext } from "node:test"
import { parseDiskUrl, Session } from "../../../src/initiator/index.ts"
import * as cdb from "../../../src/scsi/cdb/index.ts"
import { Asc } from "../../../src/scsi/spec/sense.ts"
import { Cli } from "./run-cli.ts"

const TARGET = "iqn.2026-01.org.example:media"
const [CD, STICK, DISK] = [0, 1, 2]

class Serving {
  readonly cli: Cli
  #child: ChildProcess | undefined
  #ended: Promise<number | null> = Promise.resolve(null)
  #said = ""
  #read = 0
  #listener: () => void = () => {}

  constructor(t: TestContext) {
    this.cli = new Cli(t)
  }

  start(t: TestContext, ...instead: string[]): void {
    const what = instead.length > 0 ? instead : ["--config", this.file]
    const args = ["--import", "tsx", "cli/main.ts", "serve", "--log-format", "text", ...what]
    const child = spawn(process.execPath, args, { env: { ...process.env, ...this.cli.env } })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        this.#said += String(chunk)
        this.#listener()
      })
    }
    this.#child = child
    this.#ended = once(child, "close").then(([code]) => code as number | null)
    t.after(() => child.kill("SIGKILL"))
  }

  get file(): string {
    return this.cli.path("san.yaml")
  }

  /** The configuration: text as it is, or the units of the target. */
  write(luns: object[] | string): void {
    const portals = [{ listen: "127.0.0.1:0" }]
    const text =
      typeof luns === "string" ? luns : JSON.stringify({ portals, targets: [{ name: TARGET, luns }] })
    fs.writeFileSync(this.file, text)
  }

  /** Waits for something to be said, and passes over it. */
  async says(what: RegExp): Promise<RegExpExecArray> {
    let running = true
    for (;;) {
      const found = what.exec(this.#said.slice(this.#read))
      if (found) {
        this.#read += found.index + found[0].length
        return found
      }
      assert.ok(running, `it ended before it said ${what}:\n${this.#said}`)
      const more = new Promise<void>((resolve) => (this.#listener = resolve))
      await Promise.race([more, this.#ended.then(() => (running = false))])
    }
  }

  hangUp(): void {
    this.#child?.kill("SIGHUP")
  }

  /** Its exit code, when it has come to its end by itself. */
  get ended(): Promise<number | null> {
    return this.#ended
  }

  /** Its exit code. */
  stop(): Promise<number | null> {
    this.#child?.kill("SIGTERM")
    return this.#ended
  }
}

/** A nexus that tells what a command ends with: "good", or a sense code. */
class Nexus {
  readonly session: Session

  private constructor(session: Session) {
    this.session = session
  }

  static async open(t: TestContext, url: string, name: string): Promise<Nexus> {
    const { host, port, target } = parseDiskUrl(url)
    const options = {
      portal: { host, port },
      targetName: target,
      isid: 0x8000_0000_0001,
      reconnect: false,
    } as const
    const session = await Session.open({ ...options, initiatorName: `iqn.2026-01.org.example:${name}` })
    t.after(() => session.close())
    const nexus = new Nexus(session)
    for (const lun of [CD, STICK, DISK]) await nexus.run(lun, cdb.testUnitReady()) // POWER ON
    return nexus
  }

  async run(lun: number, command: Uint8Array, dataIn?: Uint8Array): Promise<number | "good"> {
    const { status, sense } = await this.session.execute({ lun, cdb: command, ...(dataIn && { dataIn }) })
    return status === 0 ? "good" : (sense?.asc ?? -1)
  }

  ready = (lun: number) => this.run(lun, cdb.testUnitReady())

  async blocks(lun: number): Promise<number> {
    const dataIn = new Uint8Array(8)
    assert.equal(await this.run(lun, cdb.readCapacity10(), dataIn), "good")
    return new DataView(dataIn.buffer).getUint32(0) + 1
  }

  async firstByte(lun: number, blockBytes: number): Promise<number> {
    const dataIn = new Uint8Array(blockBytes)
    assert.equal(await this.run(lun, cdb.read10(0, 1), dataIn), "good")
    return dataIn[0]!
  }
}

function images(folder: string) {
  const image = (name: string, sectors: number, sectorBytes: number, fill: number) => {
    fs.writeFileSync(`${folder}/${name}`, Buffer.alloc(sectors * sectorBytes, fill))
    return { type: "file", path: name }
  }
  return {
    first: image("first.iso", 100, 2048, 1),
    second: image("second.iso", 200, 2048, 2),
    stick: image("stick.img", 64, 512, 3),
    other: image("other.img", 128, 512, 4),
  }
}

test("SIGHUP changes media, sizes and units; every nexus learns of it", async (t) => {
  const serving = new Serving(t)
  const { first, second, stick, other } = images(serving.cli.folder)
  const disk = (size: string, more: object = {}) => ({
    lun: DISK,
    device: { type: "file", path: "d.img", size },
    ...more,
  })
  const cd = (device?: object) => ({ lun: CD, type: "cdrom", ...(device && { device }) })
  const removable = (device?: object) => ({ lun: STICK, removable: true, ...(device && { device }) })
  const takeUp = (...luns: object[]): void => {
    serving.write(luns)
    serving.hangUp()
  }

  serving.write([cd(first), removable(stick), disk("1M")])
  serving.start(t)
  const [, url = ""] = await serving.says(/^ready (\S+)$/m)
  const a = await Nexus.open(t, url, "a")
  const b = await Nexus.open(t, url, "b")

  await t.test("a medium that a nexus keeps in stays, and nobody is disturbed", async () => {
    assert.equal(await a.run(CD, cdb.preventAllowMediumRemoval(true)), "good")
    takeUp(cd(second), removable(stick), disk("1M"))
    await serving.says(
      /not changed: the medium is kept in by iqn\.2026-01\.org\.example:a \(PREVENT ALLOW.* lun=0/,
    )
    for (const nexus of [a, b]) {
      assert.equal(await nexus.ready(CD), "good")
      assert.equal(await nexus.firstByte(CD, 2048), 1)
    }
  })

  await t.test("it is changed once it is let go of, by the next SIGHUP", async () => {
    assert.equal(await a.run(CD, cdb.preventAllowMediumRemoval(false)), "good")
    serving.hangUp()
    await serving.says(/the medium is .*second\.iso now +target=iqn\.2026-01\.org\.example:media lun=0/)
    for (const nexus of [a, b]) {
      assert.equal(await nexus.ready(CD), Asc.notReadyToReadyChange)
      assert.equal(await nexus.ready(CD), "good")
      assert.equal(await nexus.blocks(CD), 200)
      assert.equal(await nexus.firstByte(CD, 2048), 2)
      assert.equal(await nexus.ready(STICK), "good", "nothing happened there")
    }
  })

  await t.test("without a device the medium is taken out, and another is put in", async () => {
    takeUp(cd(), removable(), disk("1M"))
    await serving.says(/the medium was taken out .*lun=0/)
    await serving.says(/the medium was taken out .*lun=1/)
    for (const nexus of [a, b]) {
      for (const lun of [CD, STICK]) assert.equal(await nexus.ready(lun), Asc.mediumNotPresentTrayClosed)
    }
    takeUp(cd(), removable(other), disk("1M"))
    await serving.says(/the medium is .*other\.img now/)
    for (const nexus of [a, b]) {
      assert.equal(await nexus.ready(STICK), Asc.notReadyToReadyChange)
      assert.equal(await nexus.blocks(STICK), 128)
      assert.equal(await nexus.firstByte(STICK, 512), 4)
      assert.equal(await nexus.ready(CD), Asc.mediumNotPresentTrayClosed)
    }
  })

  await t.test("a tray that an initiator has opened is closed over the new medium", async () => {
    assert.equal(await a.run(STICK, cdb.startStopUnit(false, { loadOrEject: true })), "good")
    assert.equal(await b.ready(STICK), Asc.mediumNotPresentTrayOpen)
    takeUp(cd(), removable(stick), disk("1M"))
    await serving.says(/the medium is .*stick\.img now/)
    for (const nexus of [a, b]) {
      assert.equal(await nexus.ready(STICK), Asc.notReadyToReadyChange)
      assert.equal(await nexus.firstByte(STICK, 512), 3)
    }
  })

  await t.test("what can't be read or opened changes nothing, and is told", async () => {
    serving.write("targets: [{ name: iqn.2026-01.org.example:media, luns: [{ lun: 0, typ: cdrom }] }]")
    serving.hangUp()
    await serving.says(
      /san\.yaml:1:\d+: targets\[0\]\.luns\[0\]\.typ: unknown key "typ"; did you mean "type"\?/,
    )
    await serving.says(/the configuration can't be used, and nothing was changed/)
    takeUp(cd({ type: "file", path: "nowhere.iso" }), removable(stick), disk("1M"))
    await serving.says(/not changed: .*nowhere\.iso.* lun=0/)
    for (const nexus of [a, b]) {
      assert.equal(await nexus.ready(CD), Asc.mediumNotPresentTrayClosed)
      assert.equal(await nexus.ready(STICK), "good")
    }
  })

  await t.test("a disk grows, a new one appears; what can't be changed is told", async () => {
    const added = { lun: 3, device: { type: "memory", size: "1M" } }
    takeUp(cd(), removable(stick), disk("2M", { serial: "NEW" }), added)
    await serving.says(/only a restart changes this: serial of LUN 2/)
    await serving.says(/d\.img has 2 MiB now/)
    await serving.says(/a new logical unit is served .*lun=3/)
    assert.equal(fs.statSync(serving.cli.path("d.img")).size, 2 ** 21)
    for (const nexus of [a, b]) {
      const told = [await nexus.ready(DISK), await nexus.ready(DISK)]
      assert.deepEqual(new Set(told), new Set([Asc.capacityDataHasChanged, Asc.reportedLunsDataHasChanged]))
      assert.equal(await nexus.blocks(DISK), 4096)
      assert.equal(await nexus.ready(3), Asc.powerOnResetOrBusDeviceReset)
      assert.equal(await nexus.ready(3), "good")
    }
  })

  await t.test("what has grown outside is seen", async () => {
    fs.truncateSync(serving.cli.path("d.img"), 3 * 2 ** 20)
    serving.hangUp()
    await serving.says(/d\.img has 3 MiB now/)
    assert.equal(await a.ready(DISK), Asc.capacityDataHasChanged)
    assert.equal(await a.blocks(DISK), 6144)
  })

  assert.equal(await serving.stop(), 0)
})

test("without a configuration SIGHUP ends it in order", async (t) => {
  const serving = new Serving(t)
  serving.start(t, "--listen", "127.0.0.1:0", "--size", "1M", serving.cli.path("a.img"))
  await serving.says(/^ready /m)
  serving.hangUp()
  await serving.says(/stopped/)
  assert.equal(await serving.ended, 0)
})
