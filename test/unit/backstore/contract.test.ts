import { execFileSync } from "node:child_process"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { after } from "node:test"
import { BlockSpecialStore } from "../../../src/backstore/block-special.ts"
import type { BlockDevice } from "../../../src/backstore/block-device.ts"
import { DelayStore } from "../../../src/backstore/delay.ts"
import { FaultStore } from "../../../src/backstore/fault.ts"
import { FileStore, type FileStoreOptions } from "../../../src/backstore/file.ts"
import { MemoryStore } from "../../../src/backstore/memory.ts"
import { NullStore } from "../../../src/backstore/null.ts"
import { HEADER_BYTES, slotBytes } from "../../../src/backstore/protection/format.ts"
import { ProtectedStore } from "../../../src/backstore/protection/protected-store.ts"
import { systemCalls } from "../../../src/backstore/system-calls.ts"
import { blockDeviceSuite } from "../../suites/block-device.ts"

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "sanlet-backstore-"))
const LOSETUP = "losetup"
const loops: string[] = []
after(() => {
  for (const loop of loops) execFileSync(LOSETUP, ["-d", loop])
  fs.rmSync(directory, { recursive: true })
})

let number = 0
const file = (sizeBytes: number, options: FileStoreOptions) =>
  FileStore.open(path.join(directory, `${number++}.img`), { sizeBytes, create: true, ...options })

const memory = async (sizeBytes: number) => new MemoryStore({ sizeBytes })
blockDeviceSuite({ name: "memory", open: memory })
blockDeviceSuite({ name: "null", open: async (sizeBytes) => new NullStore({ sizeBytes }), keepsData: false })
blockDeviceSuite({ name: "delay", open: async (bytes) => new DelayStore(await memory(bytes), { write: 1 }) })
blockDeviceSuite({ name: "fault", open: async (sizeBytes) => new FaultStore(await memory(sizeBytes)) })

const format = { type: 1, blockBytes: 512 } as const
/** What a device of this size with protection information takes. */
const withProtection = (sizeBytes: number) => HEADER_BYTES + (sizeBytes / 512) * slotBytes(512)
blockDeviceSuite({
  name: "protected",
  alignedStorage: false,
  open: async (sizeBytes) => ProtectedStore.open(await memory(withProtection(sizeBytes)), format),
})
blockDeviceSuite({
  name: "protected, on a file",
  alignedStorage: false,
  open: async (sizeBytes) => ProtectedStore.open(await file(withProtection(sizeBytes), {}), format),
  reopen: async (device) =>
    ProtectedStore.open(await FileStore.open(/\((.*)\)/.exec(device.name)?.[1] ?? ""), format),
})

const nodeOnly = { ...(await systemCalls()), libc: undefined }
const variants: readonly [string, FileStoreOptions][] = [
  ["file, write-back", {}],
  ["file, write-through", { cache: "write-through" }],
  ["file, direct", { cache: "direct" }],
  ["file, without the C library", { system: nodeOnly }],
]
for (const [name, options] of variants) {
  const skip =
    options.cache === "direct" &&
    !(await systemCalls()).libc &&
    "direct I/O needs Linux and the koffi package"
  blockDeviceSuite({
    name,
    skip,
    open: (sizeBytes) => file(sizeBytes, options),
    reopen: (device) => FileStore.open(device.name, options),
  })
}

/** One loop device for all cases: its file is emptied and resized for each, while nobody has it open. */
const loop = attachLoop()
for (const cache of ["write-back", "direct"] as const)
  blockDeviceSuite({
    name: `block special file, ${cache}`,
    skip: loop === undefined && "no loop device can be attached here",
    resizable: false,
    open: async (sizeBytes) => {
      const { image, device } = loop!
      fs.truncateSync(image, 0)
      fs.truncateSync(image, sizeBytes)
      execFileSync(LOSETUP, ["-c", device])
      return BlockSpecialStore.open(device, { cache })
    },
    reopen: (device: BlockDevice) => BlockSpecialStore.open(device.name, { cache }),
  })

function attachLoop(): { image: string; device: string } | undefined {
  const image = path.join(directory, "loop.img")
  fs.writeFileSync(image, "")
  fs.truncateSync(image, 1024 * 1024)
  try {
    const device = execFileSync(LOSETUP, ["--find", "--show", image], {
      stdio: ["ignore", "pipe", "ignore"],
    })
      .toString()
      .trim()
    loops.push(device)
    return { image, device }
  } catch {
    return undefined
  }
}
