/** An encrypted disk served from a configuration file, from its first use to its erasure. */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import fs from "node:fs"
import { describe, test, type TestContext } from "node:test"
import { Disk } from "../../../src/initiator/index.ts"
import { Cli } from "./run-cli.ts"

const MIB = 2 ** 20
const CRYPTOGRAPHIC_ERASE = Uint8Array.of(0x48, 0x03, 0, 0, 0, 0, 0, 0, 0, 0)

function setUp(t: TestContext): {
  cli: Cli
  serve: () => Promise<{ url: string; stop: () => Promise<string> }>
} {
  const cli = new Cli(t)
  fs.writeFileSync(cli.path("disk.key"), `${randomBytes(32).toString("hex")}\n`)
  fs.writeFileSync(
    cli.path("san.yaml"),
    `portals: [{ listen: "127.0.0.1:0" }]
targets:
  - name: iqn.2026-01.org.example:encrypted
    luns:
      - lun: 0
        device: { type: encrypted, keyFile: disk.key, on: { type: file, path: disk.img, size: 17M } }
`,
  )
  const serve = async () => {
    const { urls, running } = await cli.serve(t, "--config", cli.path("san.yaml"))
    return { url: urls[0] ?? "", stop: async () => (await running.stop()).err }
  }
  return { cli, serve }
}

describe("serving an encrypted disk", () => {
  test("what is written is found again, and not in the image; what is erased isn't found anywhere", async (t) => {
    const { cli, serve } = setUp(t)
    const text = Buffer.alloc(MIB, "what nobody else is to read. ")
    const first = await serve()
    let disk = await Disk.open(first.url)
    assert.equal(disk.sizeBytes, 16 * MIB)
    await disk.write(512, text)
    await disk.flush()
    await disk.close()
    await first.stop()
    assert.equal(fs.readFileSync(cli.path("disk.img")).indexOf("nobody"), -1)

    const again = await serve()
    disk = await Disk.open(again.url)
    const found = Buffer.alloc(MIB)
    await disk.read(512, found)
    assert.equal(found.compare(text), 0)
    const before = fs.readFileSync(cli.path("disk.img")).subarray(80, 144)
    const { status } = await disk.execute(CRYPTOGRAPHIC_ERASE)
    assert.equal(status, 0)
    await disk.read(512, found)
    assert.ok(found.every((byte) => byte === 0))
    await disk.close()
    await again.stop()
    assert.equal(fs.readFileSync(cli.path("disk.img")).indexOf(before), -1)
    assert.ok(fs.statSync(cli.path("disk.img")).blocks * 512 < MIB, "the storage is given back")
  })

  test("with another key, or without one, it isn't served: one line says why", async (t) => {
    const { cli, serve } = setUp(t)
    await (await serve()).stop()
    const refused = async (): Promise<string> => {
      const { exitCode, err } = await cli.run("serve", "--config", cli.path("san.yaml"))
      assert.equal(exitCode, 1)
      return err.trim()
    }
    const [image, key] = [cli.path("disk.img"), cli.path("disk.key")]
    const right = fs.readFileSync(key)
    fs.writeFileSync(key, randomBytes(32))
    assert.match(
      await refused(),
      new RegExp(`^sanlet: [^\\n]*${image}: is encrypted under another key[^\\n]*$`),
    )
    fs.rmSync(key)
    assert.match(await refused(), new RegExp(`^sanlet: [^\\n]*${key}: the key file can't be read[^\\n]*$`))
    fs.writeFileSync(key, right)
    await (await serve()).stop()
    fs.writeFileSync(image, Buffer.alloc(17 * MIB, "plain"))
    assert.match(
      await refused(),
      new RegExp(`^sanlet: [^\\n]*${image}: holds data that isn't encrypted[^\\n]*$`),
    )
    assert.equal(fs.readFileSync(image).compare(Buffer.alloc(17 * MIB, "plain")), 0)
  })
})
