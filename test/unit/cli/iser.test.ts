/** The commands over iSER: software iWARP at the port that serves TCP. */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import fs from "node:fs"
import { test, type TestContext } from "node:test"
import { Cli } from "./run-cli.ts"

const MIB = 2 ** 20

/** A server with one disk; its URL, and the same over iSER. */
async function served(t: TestContext, config = "") {
  const cli = new Cli(t)
  const yaml = `
portals:
  - listen: 127.0.0.1:0
    ${config}
targets:
  - name: iqn.2026-01.org.example:disks
    luns: [{ lun: 0, device: { type: file, path: ${cli.path("a.img")}, size: 16M } }]
`
  fs.writeFileSync(cli.path("san.yaml"), yaml)
  const { urls, running } = await cli.serve(t, "--config", cli.path("san.yaml"))
  const url = urls[0] ?? ""
  return { cli, running, url, iser: url.replace("iscsi://", "iser://") }
}

test("discover, ls and info take iser:// and ?iser, and tell what they have used", async (t) => {
  const { cli, url, iser, running } = await served(t)
  const portal = iser.split("/").slice(0, 3).join("/")
  assert.match((await cli.run("discover", portal)).out, /^iqn\.2026-01\.org\.example:disks /m)
  const listed = await cli.run("ls", portal, "--json")
  const { targets } = JSON.parse(listed.out) as { targets: { transport: string; units: { url: string }[] }[] }
  assert.equal(targets[0]?.transport, "iser")
  assert.equal(targets[0]?.units[0]?.url, iser)
  assert.match((await cli.run("ls", portal)).out, /^iqn\.2026-01\.org\.example:disks {2}over iSER\n/)
  assert.match((await cli.run("info", iser)).out, /\n *transport +iSER: the target moves data by RDMA\n/)
  assert.match((await cli.run("info", `${url}?iser`)).out, /\n *transport +iSER/)
  assert.match((await cli.run("info", url)).out, /\n *transport +TCP\n/)
  const { err } = await running.stop()
  assert.match(err, /logged in .*transport=iser .*session=Discovery/)
  assert.match(err, /logged in .*transport=iser .*session=Normal/)
})

test("--transport has the last word", async (t) => {
  const { cli, url, iser } = await served(t)
  assert.match((await cli.run("info", url, "--transport", "iser")).out, /\n *transport +iSER/)
  assert.match((await cli.run("info", iser, "--transport", "tcp")).out, /\n *transport +TCP/)
  assert.match((await cli.run("info", url, "--transport", "auto")).out, /\n *transport +TCP/)
  const wrong = await cli.run("info", url, "--transport", "udp")
  assert.equal(wrong.exitCode, 2)
  assert.match(wrong.err, /Allowed choices are auto, tcp, iser/)
})

test("copies go over iSER, there and back", async (t) => {
  const { cli, iser } = await served(t)
  const data = randomBytes(16 * MIB)
  fs.writeFileSync(cli.path("from.img"), data)
  const there = await cli.run("copy", cli.path("from.img"), iser, "--verify")
  assert.equal(there.exitCode, 0, there.err)
  const back = await cli.run("copy", iser, cli.path("back.img"))
  assert.equal(back.exitCode, 0, back.err)
  assert.equal(Buffer.compare(fs.readFileSync(cli.path("back.img")), data), 0)
})

test("where a portal doesn't serve it, iser:// fails in one line, and TCP works", async (t) => {
  const { cli, url, iser } = await served(t, "iser: off")
  const failed = await cli.run("info", iser)
  assert.equal(failed.exitCode, 1)
  assert.match(failed.err, /^sanlet: iser:\S+: no iSER at 127\.0\.0\.1:\d+: [^\n]+\n$/)
  assert.match((await cli.run("info", url)).out, /\n *transport +TCP/)
})

test("where nobody listens, it fails as TCP does", async (t) => {
  const cli = new Cli(t)
  const failed = await cli.run("ls", "iser://127.0.0.1:1")
  assert.equal(failed.exitCode, 1)
  assert.match(failed.err, /^sanlet: can't connect to 127\.0\.0\.1:1: nobody listens there[^\n]*\n$/)
})
