/** The lines the README gives for Linux, as they stand there, in a virtual machine that has nothing set up before. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { type Guest, Rig } from "../rig/rig.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

/** Its example: who reads it puts his own address and target there. */
const EXAMPLE_ADDRESS = "192.0.2.1"
const EXAMPLE_TARGET = "iqn.2026-01.org.example:disk"

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")

/** The commands of the shell block behind a sentence of the README, without comments. */
function linesBehind(sentence: string): string[] {
  const block = readme.slice(readme.indexOf(sentence)).split("```")[1] ?? ""
  assert.ok(block.startsWith("sh\n"), `no shell block behind "${sentence}"`)
  const lines = block.split("\n").slice(1)
  return lines.map((line) => line.replace(/\s+#.*$/, "").trim()).filter((line) => line !== "")
}

describe("the README's lines for Linux as an initiator over iSER", () => {
  const scratch = new Scratch()
  let rig: Rig | undefined
  let guest: Guest
  let served: Served
  let address = ""
  let target = ""

  before(async () => {
    const started = await Rig.start()
    rig = started
    guest = await started.boot()
    address = started.network.hostAddress()
    served = await serve([scratch.image("disk.img", 64 * MiB), "--listen", `${address}:3260`], {
      spawn: (command, args, env) => started.network.spawn(command, args, { env }),
    })
    target = new URL(served.url).pathname.split("/")[1]!
  })
  after(async () => {
    await served?.stop()
    await rig?.stop()
    scratch.remove()
  })

  /** The guest is root's, and has no sudo. */
  const asHere = (line: string): string =>
    line
      .replaceAll(/\bsudo /g, "")
      .replaceAll(EXAMPLE_ADDRESS, address)
      .replaceAll(EXAMPLE_TARGET, target)

  test("log in, and the session is iSER's", async () => {
    const lines = linesBehind("With Linux as the initiator")
    assert.ok(lines.length >= 5, lines.join("\n"))
    let said = ""
    for (const line of lines) said = await guest.sh(asHere(line), { deadlineMs: 60_000 })
    assert.match(said, /Transport: iser/)
    await guest.sh("iscsiadm -m node -u")
  })
})
