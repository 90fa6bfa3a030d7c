/** Appends the guest's own files to the kernel's initrd at boot, so that a change in them needs no rebuild. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const guestFolder = join(dirname(fileURLToPath(import.meta.url)), "guest")
const DIRECTORY = 0o40755
const PROGRAM = 0o100755

/** One member of a cpio archive, "newc" form: 14 header fields, each but the magic number 8 hex digits. */
function member(name: string, mode: number, data: Buffer): Buffer {
  const path = Buffer.from(`${name}\0`)
  const fields = [0, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, path.length, 0]
  const header = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, "0")).join("")}`)
  return Buffer.concat([padded(Buffer.concat([header, path])), padded(data)])
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}

/** Writes the initrd for a boot to `path`: the one of `images`, then the guest files and the agent. */
export function writeInitrd(images: string, path: string): void {
  const none = Buffer.alloc(0)
  const parts = [
    padded(readFileSync(join(images, "initrd"))),
    member("init", PROGRAM, readFileSync(join(guestFolder, "initrd-init"))),
    member("guest", DIRECTORY, none),
    member("guest/rig-init", PROGRAM, readFileSync(join(guestFolder, "init"))),
    member("guest/rig-agent", PROGRAM, readFileSync(join(images, "rig-agent"))),
    member("guest/bin", DIRECTORY, none),
  ]
  for (const name of readdirSync(join(guestFolder, "bin"))) {
    parts.push(member(`guest/bin/${name}`, PROGRAM, readFileSync(join(guestFolder, "bin", name))))
  }
  parts.push(member("TRAILER!!!", 0, none))
  writeFileSync(path, Buffer.concat(parts))
}
