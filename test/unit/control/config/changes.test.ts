import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  type ConfigurationChange,
  changesBetween,
  withChange,
} from "../../../../src/control/config/changes.ts"
import { parseConfiguration } from "../../../../src/control/config/load.ts"
import type { Configuration } from "../../../../src/control/config/schema.ts"

const target = "iqn.2026-01.org.example:a"
const context = { directory: "/san", env: {}, readFile: () => "" }
const parse = (content: object): Configuration =>
  parseConfiguration(JSON.stringify(content), "san.yaml", context)

const file = (path: string, more: object = {}) => ({ type: "file", path, ...more })

function configured(luns: object[], more: object = {}, top: object = {}): Configuration {
  return parse({ ...top, targets: [{ name: target, luns, ...more }] })
}

/** In short, as "medium 1: b.iso". */
function told(running: Configuration, wanted: Configuration): string[] {
  return changesBetween(running, wanted).map((change) => {
    switch (change.kind) {
      case "medium": {
        const { device, lun } = change.unit
        return `medium ${lun}: ${device === undefined ? "none" : "path" in device ? device.path : device.type}`
      }
      case "size":
        return `size ${change.unit.lun}: ${change.sizeBytes}`
      case "new unit":
        return `new unit ${change.unit.lun}`
      case "access state":
        return `access state ${change.group}: ${change.state}`
      case "restart":
        return `restart: ${change.what}`
    }
  })
}

describe("changes between two configurations", () => {
  test("none where they say the same in other words", () => {
    const a = configured([{ lun: 0, device: file("a.img", { size: "1G" }) }])
    const b = configured([{ lun: 0, device: file("/san/a.img", { size: "1024M", cache: "write-back" }) }])
    assert.deepEqual(changesBetween(a, b), [])
  })

  test("media of drives and removable disks: what is taken out comes first", () => {
    const running = configured([
      { lun: 0, type: "cdrom" },
      { lun: 1, type: "cdrom", device: file("a.iso") },
      { lun: 2, removable: true, device: file("s.img") },
      { lun: 3, type: "cdrom", device: file("same.iso") },
    ])
    const wanted = configured([
      { lun: 0, type: "cdrom", device: file("a.iso") },
      { lun: 1, type: "cdrom" },
      { lun: 2, removable: true, device: file("t.img") },
      { lun: 3, type: "cdrom", device: file("same.iso") },
    ])
    assert.deepEqual(told(running, wanted), [
      "medium 1: none",
      "medium 0: /san/a.iso",
      "medium 2: /san/t.img",
    ])
  })

  test("the device of a disk that stays is for a restart, unless it grows", () => {
    const disk = (device: object, more: object = {}) => configured([{ lun: 0, device, ...more }])
    const of = (size: string) => file("a.img", { size })
    assert.deepEqual(told(disk(of("1M")), disk(of("2M"))), ["size 0: 2097152"])
    assert.deepEqual(told(disk(file("a.img")), disk(of("2M"))), ["size 0: 2097152"])
    assert.deepEqual(told(disk(of("2M")), disk(file("a.img"))), [])
    assert.deepEqual(told(disk(of("2M")), disk(of("1M"))), ["restart: the device of LUN 0"])
    assert.deepEqual(told(disk(of("1M")), disk(file("b.img", { size: "2M" }))), [
      "restart: the device of LUN 0",
    ])
    const guarded = { protection: { type: 1 } }
    assert.deepEqual(told(disk(of("1M"), guarded), disk(of("2M"), guarded)), ["restart: the device of LUN 0"])
    const slow = (on: object, read = 5) => ({ type: "delay", on, delaysMs: { read } })
    assert.deepEqual(told(disk(slow(of("1M"))), disk(slow(of("2M")))), ["size 0: 2097152"])
    assert.deepEqual(told(disk(slow(of("1M"))), disk(slow(of("2M"), 6))), ["restart: the device of LUN 0"])
  })

  test("a disk that becomes removable is for a restart, with its device", () => {
    const running = configured([{ lun: 0, device: file("a.img") }])
    const wanted = configured([{ lun: 0, removable: true }])
    assert.deepEqual(told(running, wanted), ["restart: removable of LUN 0", "restart: the device of LUN 0"])
    const drive = configured([{ lun: 0, type: "cdrom", device: file("a.iso") }])
    assert.deepEqual(told(wanted, drive), [
      "restart: removable of LUN 0",
      "restart: type of LUN 0",
      "restart: the device of LUN 0",
    ])
  })

  test("new units; those that are no more, and whole targets, are for a restart", () => {
    const running = configured([{ lun: 0, device: file("a.img") }])
    const wanted = configured([{ lun: 1, device: file("b.img") }])
    assert.deepEqual(told(running, wanted), ["restart: LUN 0, which is no more", "new unit 1"])
    const other = parse({
      targets: [{ name: "iqn.2026-01.org.example:b", luns: [{ lun: 0, device: file("a.img") }] }],
    })
    const changes = changesBetween(running, other)
    assert.deepEqual(changes, [
      { kind: "restart", target: "iqn.2026-01.org.example:b", what: "a new target" },
      { kind: "restart", target, what: "a target that is no more" },
    ])
  })

  test("access states; all else about target port groups is for a restart", () => {
    const portals = [1, 2].map((group) => ({ listen: `127.0.0.1:${3260 + group}`, group }))
    const luns = [{ lun: 0, device: file("a.img") }]
    const states = (second: object) =>
      configured(
        luns,
        { alua: { groups: [{ portalGroups: [1] }, { portalGroups: [2], ...second }] } },
        { portals },
      )
    assert.deepEqual(told(states({ id: 7 }), states({ id: 7, state: "standby" })), [
      "access state 7: standby",
    ])
    assert.deepEqual(told(states({ state: "standby" }), states({})), ["access state 2: active/optimized"])
    assert.deepEqual(told(states({}), states({ state: "active/optimized" })), [])
    const alua = ["restart: alua, but for the states"]
    assert.deepEqual(told(states({}), states({ preferred: "on", state: "standby" })), alua)
    assert.deepEqual(told(states({}), configured(luns, {}, { portals })), alua)
  })

  test("everything else is for a restart, secrets too", () => {
    const luns = [{ lun: 0, device: file("a.img") }]
    const chap = (secret: string) => ({ chap: { users: [{ name: "u", secret }] } })
    const running = configured(luns, chap("123456789012"))
    assert.deepEqual(told(running, configured(luns, chap("123456789012"))), [])
    assert.deepEqual(told(running, configured(luns, chap("123456789013"))), ["restart: chap"])
    const more = configured(
      [{ ...luns[0], serial: "S" }],
      { alias: "x" },
      {
        portals: [{ listen: "127.0.0.1:1" }],
        log: { level: "debug" },
        discovery: {},
      },
    )
    assert.deepEqual(told(running, more), [
      "restart: portals",
      "restart: discovery",
      "restart: log",
      "restart: chap",
      "restart: alias",
      "restart: serial of LUN 0",
    ])
  })

  test("what was done isn't done again, and what waits for a restart still waits", () => {
    const portals = [1, 2].map((group) => ({ listen: `127.0.0.1:${3260 + group}`, group }))
    const groups = (state: string) => ({ alua: { groups: [{ portalGroups: [1, 2], state }] } })
    const unit = { lun: 0, type: "cdrom", device: file("a.iso") }
    const running = configured([unit, { lun: 1, device: file("d.img", { size: "1M" }) }], groups("standby"), {
      portals,
    })
    const wanted = configured(
      [
        { lun: 0, type: "cdrom", serial: "S" },
        { lun: 1, device: file("d.img", { size: "2M" }) },
        { lun: 2, device: file("n.img") },
      ],
      groups("unavailable"),
      { portals },
    )
    const changes = changesBetween(running, wanted)
    assert.deepEqual(changes.map(({ kind }) => kind).sort(), [
      "access state",
      "medium",
      "new unit",
      "restart",
      "size",
    ])
    const after = changes.reduce(
      (before: Configuration, change: ConfigurationChange) => withChange(before, change),
      running,
    )
    assert.deepEqual(told(after, wanted), ["restart: serial of LUN 0"])
    assert.deepEqual(told(running, wanted).length, 5, "the one it began with is as it was")
  })
})
