import assert from "node:assert/strict"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { jsonLog } from "../../../src/base/log-json.ts"
import { textLog } from "../../../src/base/log-text.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"

test("a text log: time, level, message, fields; nothing a peer sends steers the terminal", () => {
  const lines: string[] = []
  const write = (line: string) => lines.push(line)
  const log = textLog({ level: "info", clock: new VirtualClock(), colour: false, write })
  log.debug({}, "not shown")
  log.info({ initiator: "iqn.2026-01.org.example:host", address: undefined, tsih: 7 }, "logged in")
  log.warn({ reason: "no such target", name: "\x1b[2Jevil\n" }, "login \x07refused")
  const time = new Date(0).toTimeString().slice(0, 8)
  assert.deepEqual(lines, [
    `${time} info  logged in initiator=iqn.2026-01.org.example:host tsih=7\n`,
    `${time} warn  login ?refused reason="no such target" name="?[2Jevil?"\n`,
  ])
})

test("a text log in colours", () => {
  const lines: string[] = []
  const log = textLog({
    level: "error",
    clock: new VirtualClock(),
    colour: true,
    write: (line) => lines.push(line),
  })
  log.warn({}, "not shown")
  log.error({ code: "EIO" }, "failed")
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? "", /\x1b\[31merror\x1b\[0m failed \x1b\[2mcode=\x1b\[0mEIO\n$/)
})

test("a JSON log: an object per line, written at once", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sanlet-log-"))
  const path = join(folder, "log")
  const fd = openSync(path, "w")
  t.after(() => {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  })
  const log = jsonLog({ level: "warn", fd })
  log.info({}, "not shown")
  log.warn({ initiator: "iqn.2026-01.org.example:host", tsih: 7 }, "login refused")
  const lines = readFileSync(path, "utf8").trimEnd().split("\n")
  assert.equal(lines.length, 1)
  const { time, ...rest } = JSON.parse(lines[0] ?? "") as { time: number }
  assert.ok(time > 1.7e12)
  assert.deepEqual(rest, {
    level: "warn",
    initiator: "iqn.2026-01.org.example:host",
    tsih: 7,
    message: "login refused",
  })
})
