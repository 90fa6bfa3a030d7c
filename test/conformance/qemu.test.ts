/** qemu's tools, through libiscsi, against a LUN of ours: images in and out, sparse, compared, and under load. */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { closeSync, openSync, statSync, writeSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { succeed } from "./command.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

const SIZE = 64 * MiB

/** A sparse image with some islands of data: 6 MiB in all, one ending off any alignment. */
function islands(path: string): void {
  const file = openSync(path, "r+")
  for (const at of [0, 17 * MiB, 40 * MiB + 512]) writeSync(file, randomBytes(2 * MiB), 0, 2 * MiB, at)
  closeSync(file)
}

describe("qemu", () => {
  const scratch = new Scratch()
  let served: Served
  let lun = ""
  let image = ""
  let source = ""

  before(async () => {
    image = scratch.image("lun.img", SIZE)
    source = scratch.image("source.raw", SIZE)
    islands(source)
    served = await serve([image, "--listen", "127.0.0.1:0"])
    lun = served.url
  })
  after(async () => {
    await served.stop()
    scratch.remove()
  })

  const convert = (...args: string[]): Promise<string> =>
    succeed("qemu-img", "convert", "-f", "raw", "-O", "raw", ...args)
  const same = (a: string, b: string): Promise<string> =>
    succeed("qemu-img", "compare", "-f", "raw", "-F", "raw", a, b)
  const io = (...commands: string[]): Promise<string> =>
    succeed("qemu-io", "-f", "raw", ...commands.flatMap((command) => ["-c", command]), lun)

  test("info tells the LUN's size", async () => {
    const info = JSON.parse(await succeed("qemu-img", "info", "--output=json", "-f", "raw", lun)) as Record<
      string,
      unknown
    >
    assert.equal(info["virtual-size"], SIZE)
  })

  test("convert in: every byte arrives, and holes stay holes", async () => {
    await convert("-n", source, lun)
    assert.match(await same(source, lun), /identical/)
    await succeed("cmp", source, image)
    assert.ok(statSync(image).blocks * 512 < 8 * MiB, `${statSync(image).blocks * 512} bytes are allocated`)
  })

  test("convert out: the file is the same, and sparse", async () => {
    const out = scratch.path("out.raw")
    await convert(lun, out)
    await succeed("cmp", source, out)
    assert.ok(statSync(out).blocks * 512 < 8 * MiB)
  })

  test("map: GET LBA STATUS tells where the data is", async () => {
    const map = JSON.parse(await succeed("qemu-img", "map", "--output=json", "-f", "raw", lun)) as {
      length: number
      zero: boolean
    }[]
    const dataBytes = map.filter(({ zero }) => !zero).reduce((sum, { length }) => sum + length, 0)
    assert.ok(dataBytes >= 6 * MiB && dataBytes < 8 * MiB, `${dataBytes} bytes of data`)
  })

  test("patterns, zeroes, discard and flush", async () => {
    const output = await io(
      "write -P 0xa5 1M 3M",
      "read -P 0xa5 1M 3M",
      "write -P 0x5a -f 1536 512",
      "read -P 0x5a 1536 512",
      "write -z 2M 64k",
      "read -P 0 2M 64k",
      "read -P 0xa5 2162688 1M",
      "write -z -u 1M 1M",
      "read -P 0 1M 1M",
      "discard 3M 1M",
      "flush",
      "read -P 0 3M 1M",
    )
    assert.doesNotMatch(output, /failed|error/i)
  })

  test("many requests at once, out of step with each other", async () => {
    const commands = Array.from({ length: 48 }, (_, i) => `aio_write -q -P ${i + 1} ${i * 640}k 640k`)
    const checks = Array.from({ length: 48 }, (_, i) => `read -q -P ${i + 1} ${i * 640}k 640k`)
    assert.doesNotMatch(await io(...commands, "aio_flush", ...checks), /failed|error/i)
  })

  for (const [name, args] of [
    ["4 KiB reads", ["-s", "4k", "-d", "32", "-c", "4000"]],
    ["4 KiB writes", ["-w", "-s", "4k", "-d", "32", "-c", "4000"]],
    ["1 MiB reads", ["-s", "1M", "-d", "8", "-c", "200"]],
    ["1 MiB writes with flushes", ["-w", "-s", "1M", "-d", "8", "-c", "200", "--flush-interval=40"]],
  ] as const) {
    test(`bench: ${name}`, async () => {
      assert.match(
        await succeed("qemu-img", "bench", "-f", "raw", "-t", "none", ...args, lun),
        /Run completed/,
      )
    })
  }

  test("an interrupted client leaves nothing behind", async () => {
    await assert.rejects(
      succeed(
        "timeout",
        "-s",
        "KILL",
        "0.3",
        "qemu-img",
        "bench",
        "-f",
        "raw",
        "-t",
        "none",
        "-w",
        "-s",
        "256k",
        "-d",
        "32",
        "-c",
        "100000",
        lun,
      ),
    )
    assert.match(await same(image, lun), /identical/)
  })
})

test("an .iso is a CD-ROM drive to qemu, and reads as the image does", async () => {
  const scratch = new Scratch()
  const image = scratch.image("disc.iso", 8 * MiB)
  const file = openSync(image, "r+")
  writeSync(file, randomBytes(3 * MiB), 0, 3 * MiB, 2 * MiB)
  closeSync(file)
  const served = await serve([image, "--listen", "127.0.0.1:0"])
  try {
    const compared = await succeed("qemu-img", "compare", "-f", "raw", "-F", "raw", served.url, image)
    assert.match(compared, /identical/)
    assert.match(await succeed("iscsi-inq", served.url), /Device Type:MMC\nRemovable:1/)
  } finally {
    await served.stop()
    scratch.remove()
  }
})
