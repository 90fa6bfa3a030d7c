import assert from "node:assert/strict"
import fs from "node:fs"
import { test } from "node:test"
import { Cli } from "./run-cli.ts"

test("serve puts an image whose name ends in .iso into a CD-ROM drive", async (t) => {
  const cli = new Cli(t)
  const disc = cli.path("Disc.ISO")
  fs.writeFileSync(disc, Buffer.alloc(64 * 2048))
  const { urls } = await cli.serve(t, disc, cli.path("disk.img"), "--size", "1M")
  const { out } = await cli.run("ls", urls[0]!.split("/")[2]!, "--json")
  const { targets } = JSON.parse(out) as {
    targets: { units: { lun: number }[]; others: { lun: number; what: string }[] }[]
  }
  assert.deepEqual(
    targets[0]?.units.map(({ lun }) => lun),
    [1],
  )
  assert.match(targets[0]?.others[0]?.what ?? "", /is a CD\/DVD, not a disk/)
})

test("serve makes a disk of an .iso that isn't there yet", async (t) => {
  const cli = new Cli(t)
  const { urls } = await cli.serve(t, cli.path("new.iso"), "--size", "1M")
  assert.match((await cli.run("ls", urls[0]!)).out, /1 MiB +512 {2}rw/)
})

test("check-config tells drives and removable disks from disks", async (t) => {
  const cli = new Cli(t)
  const luns = "[{ lun: 0, type: cdrom, device: { type: file, path: a.iso } }, { lun: 1, removable: true }]"
  fs.writeFileSync(cli.path("san.yaml"), `targets: [{ name: "iqn.2026-01.org.example:a", luns: ${luns} }]`)
  const { out } = await cli.run("check-config", cli.path("san.yaml"))
  assert.match(out, /0 +cdrom: .*a\.iso/)
  assert.match(out, /1 +removable: empty/)
})
