/** libiscsi's command-line tools against a target of ours. */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { run, succeed } from "./command.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

const IQN = "iqn.2026-01.org.example:tools"

describe("libiscsi's tools", () => {
  const scratch = new Scratch()
  let served: Served
  let portal = ""
  let lun = ""

  before(async () => {
    const images = [scratch.image("a.img", 16 * MiB), scratch.image("b.img", 3 * 1024 * MiB)]
    served = await serve([...images, "--listen", "127.0.0.1:0", "--target", IQN], { luns: 2 })
    lun = served.url
    portal = lun.split("/").slice(0, 3).join("/")
  })
  after(async () => {
    await served.stop()
    scratch.remove()
  })

  test("iscsi-ls finds the target and its LUNs", async () => {
    const listing = await succeed("iscsi-ls", "-s", portal)
    assert.match(listing, new RegExp(`Target:${IQN} Portal:127\\.0\\.0\\.1:\\d+,1`))
    assert.match(listing, /Lun:0 +Type:DIRECT_ACCESS \(Size:(?:16M|15M)\)/)
    assert.match(listing, /Lun:1 +Type:DIRECT_ACCESS \(Size:(?:3G|2G)\)/)
    assert.equal((await succeed("iscsi-ls", "--url", portal)).includes(`/${IQN}/`), true)
  })

  test("iscsi-inq reads the standard data and the VPD pages it knows", async () => {
    const standard = await succeed("iscsi-inq", lun)
    assert.match(standard, /Peripheral Device Type:DIRECT_ACCESS/)
    assert.match(standard, /Vendor:sanlet/i)
    for (const page of ["0x00", "0x80", "0x83", "0xb0", "0xb1", "0xb2"]) {
      const ran = await run("iscsi-inq", ["-e", "1", "-c", String(Number(page)), lun])
      assert.equal(ran.code, 0, `page ${page}: ${ran.output}`)
    }
    assert.match(await succeed("iscsi-inq", "-e", "1", "-c", String(0x83), lun), /Designator/i)
  })

  test("no two LUNs share a designator or a serial", async () => {
    const [first = "", second = ""] = served.urls
    for (const page of [0x80, 0x83]) {
      const ask = (url: string): Promise<string> => succeed("iscsi-inq", "-e", "1", "-c", String(page), url)
      assert.notEqual(await ask(first), await ask(second))
      assert.equal(await ask(first), await ask(first))
    }
  })

  test("iscsi-readcapacity16 tells size, block and thin provisioning", async () => {
    assert.equal((await succeed("iscsi-readcapacity16", "-s", lun)).trim(), String(16 * MiB))
    const capacity = await succeed("iscsi-readcapacity16", lun)
    assert.match(capacity, /RETURNED LOGICAL BLOCK ADDRESS:32767/)
    assert.match(capacity, /LOGICAL BLOCK LENGTH IN BYTES:512/)
    assert.match(capacity, /LBPME:1/)
  })

  test("iscsi-swp sets software write protection, and takes it away", async () => {
    assert.match(await succeed("iscsi-swp", lun), /SWP:0/)
    await succeed("iscsi-swp", "-s", "on", lun)
    assert.match(await succeed("iscsi-swp", lun), /SWP:1/)
    const write = ["-f", "raw", "-c", "write 0 4k", lun]
    assert.notEqual((await run("qemu-io", write)).code, 0)
    await succeed("iscsi-swp", "-s", "off", lun)
    assert.match(await succeed("iscsi-swp", lun), /SWP:0/)
    assert.equal((await run("qemu-io", write)).code, 0)
  })

  for (const [name, args] of [
    ["sequential", ["-m", "32", "-b", "8", "-t", "1"]],
    ["random", ["-m", "32", "-b", "8", "-t", "1", "-r"]],
    ["large", ["-m", "8", "-b", "512", "-t", "1"]],
  ] as const) {
    test(`iscsi-perf, ${name}`, async () => {
      const output = (await run("iscsi-perf", [...args, lun], 30_000)).output
      const average = Number(/iops average (\d+)/.exec(output.replace(/\r/g, "\n"))?.[1])
      assert.ok(average > 0, output)
    })
  }

  test("a target that isn't there is refused, not served", async () => {
    const ran = await run("iscsi-inq", [lun.replace(IQN, `${IQN}-not`)])
    assert.notEqual(ran.code, 0)
    assert.match(ran.output, /not found/i)
  })

  test("Ctrl-C ends it cleanly", async () => {
    assert.equal(await served.stop(), 0)
  })
})
