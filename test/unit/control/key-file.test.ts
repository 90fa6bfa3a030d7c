import assert from "node:assert/strict"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, test } from "node:test"
import { readKeyFile } from "../../../src/control/key-file.ts"

const folder = fs.mkdtempSync(join(tmpdir(), "sanlet-keys-"))
after(() => fs.rmSync(folder, { recursive: true }))
const path = join(folder, "disk.key")
const key = Uint8Array.from({ length: 32 }, (_, i) => i * 7)

async function keyIn(content: string | Uint8Array): Promise<Uint8Array> {
  fs.writeFileSync(path, content)
  return new Uint8Array(await readKeyFile(path))
}

describe("a key file", () => {
  test("holds the key raw, in hexadecimal or in base64, and perhaps the end of a line", async () => {
    const hex = Buffer.from(key).toString("hex")
    const base64 = Buffer.from(key).toString("base64")
    assert.deepEqual(await keyIn(key), key)
    for (const text of [hex, hex.toUpperCase(), base64]) {
      for (const end of ["", "\n", "\r\n"]) assert.deepEqual(await keyIn(text + end), key)
    }
    // 32 bytes are the key itself, whatever they look like.
    assert.deepEqual(Buffer.from(await keyIn(hex.slice(0, 32))).toString(), hex.slice(0, 32))
  })

  test("is refused in one line that says how to make one", async () => {
    const hex = "0".repeat(64)
    const base64 = `${"A".repeat(43)}=`
    const wrong = ["", "secret\n", hex.slice(1), `${hex}0`, `${hex}\n\n`, `${hex.slice(1)}g`, base64.slice(1)]
    for (const content of [...wrong, `${"A".repeat(42)}B=`, new Uint8Array(33), new Uint8Array(100_000)]) {
      await assert.rejects(keyIn(content), {
        code: "ERR_STORE_KEY",
        message: `${path}: holds no key of 32 bytes, raw, in hexadecimal or in base64; make one: openssl rand -hex 32`,
      })
    }
  })

  test("has to be there, and to be a file", async () => {
    await assert.rejects(readKeyFile(join(folder, "none")), {
      code: "ERR_STORE_KEY",
      message: `${join(folder, "none")}: the key file can't be read: no such file`,
    })
    await assert.rejects(readKeyFile(folder), { message: `${folder}: the key file can't be read: EISDIR` })
    await assert.rejects(readKeyFile("/dev/zero"), { code: "ERR_STORE_KEY" })
  })
})
