import assert from "node:assert/strict"
import { test } from "node:test"
import { connectHints } from "../../../../cli/output/connect-hints.ts"
import { styleFor } from "../../../../cli/output/style.ts"

const unit = {
  url: "iscsi://127.0.0.1:3260/iqn.2026-01.org.example:disk/0",
  target: "iqn.2026-01.org.example:disk",
  lun: 0,
  type: "disk" as const,
  device: "disk.img",
  sizeBytes: 1024,
  blockBytes: 512,
  readOnly: false,
  serial: "1",
  naa: "2",
  authenticated: false,
}

const hints = (address: string, transports: readonly ("tcp" | "iser")[] = ["tcp", "iser"]): string =>
  connectHints({ units: [unit], portals: [{ address, group: 1, transports }] }, styleFor({}, {})).join("\n")

test("how Linux comes over iSER is told where other machines can", () => {
  assert.match(
    hints("192.0.2.1:3260"),
    /netdev eth0.*\n.*-p 192\.0\.2\.1:3260 -I iser -o new\n.*-I iser --login/,
  )
  assert.match(hints("0.0.0.0:3261"), /-p THIS-HOST:3261 -I iser/)
  assert.match(hints("[::]:3261"), /-p THIS-HOST:3261 -I iser/)
  const local = hints("127.0.0.1:3260")
  assert.match(local, /over iSER +npx sanlet info iser:\/\/127\.0\.0\.1:3260/)
  assert.doesNotMatch(local, /siw|-I iser/)
})

test("without iSER nothing is told of it", () => {
  assert.doesNotMatch(hints("192.0.2.1:3260", ["tcp"]), /iser|siw/i)
})

test("a CD-ROM drive is called one", () => {
  const drive = { ...unit, type: "cdrom" as const, device: "disc.iso", readOnly: true }
  const lines = connectHints({ units: [drive], portals: [] }, styleFor({}, {}))
  assert.ok(lines.includes("LUN 0: 1 KiB in disc.iso (a CD-ROM drive)"), lines.join("\n"))
})
