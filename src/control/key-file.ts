import { open } from "node:fs/promises"
import { StoreOpenError } from "../backstore/index.ts"

const KEY_BYTES = 32
/** The longest of the forms, with what ends a line. */
const KEY_FILE_BYTES_MAX = 66

/**
 * The key of a key file: 32 bytes raw, or as 64 hexadecimal digits or 44 characters of base64, and perhaps the end of a line. Its
 * length tells which. Rejects with StoreOpenError "key".
 */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  const problem = (message: string, cause?: unknown) =>
    new StoreOpenError("key", path, message, cause === undefined ? undefined : { cause })
  let content: Buffer
  try {
    content = await readStart(path)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw problem(
      `the key file can't be read: ${code === "ENOENT" ? "no such file" : (code ?? message)}`,
      error,
    )
  }
  const key = keyOf(content)
  if (key !== undefined) return key
  throw problem("holds no key of 32 bytes, raw, in hexadecimal or in base64; make one: openssl rand -hex 32")
}

/** No more than tells that it is too long: a key file may be a device that never ends. */
async function readStart(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const content = Buffer.alloc(KEY_FILE_BYTES_MAX + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(content, length, content.length - length)
      length += bytesRead
      if (bytesRead === 0 || length === content.length) return content.subarray(0, length)
    }
  } finally {
    await file.close()
  }
}

function keyOf(content: Buffer): Uint8Array | undefined {
  if (content.length === KEY_BYTES) return content
  const text = content.toString("latin1").replace(/\r?\n$/, "")
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex")
  // The last of 43 digits holds two bits more than there are.
  if (/^[0-9A-Za-z+/]{42}[048AEIMQUYcgkosw]=$/.test(text)) return Buffer.from(text, "base64")
  return undefined
}
