// A target with a block device of one's own: each byte is the lowest byte of its block's number.
//   node --import tsx examples/own-block-device.ts [PORT]
import { Target } from "sanlet"
import { BlockError, type BlockDevice } from "sanlet/backstore"

const readOnly = () => {
  throw new BlockError("read-only", "the pattern can't be changed")
}

const pattern: BlockDevice = {
  name: "pattern",
  sizeBytes: 64 * 2 ** 20,
  features: {
    readOnly: true,
    writeCache: false,
    discard: false,
    discardGranularityBytes: 1,
    extents: false,
    alignmentBytes: 512,
    solidState: true,
  },
  read(offsetBytes, into) {
    for (let at = 0; at < into.length; at += 512) into.fill((offsetBytes + at) / 512, at, at + 512)
  },
  write: readOnly,
  discard: readOnly,
  writeZeroes: readOnly,
  flush() {},
  extents: (offsetBytes, lengthBytes) => [{ offsetBytes, lengthBytes, allocated: true }],
  cancel() {},
  async resize() {
    readOnly()
  },
  onResize: () => () => {},
  async close() {},
}

const target = new Target({ name: "iqn.2026-01.org.example:pattern" })
target.addLogicalUnit(0, pattern)
const portal = await target.listen({ host: "127.0.0.1", port: Number(process.argv[2] ?? 3260) })
console.log(`serving iscsi://${portal.address}/${target.name}/0`)
process.once("SIGINT", () => void target.close())
