/**
 * A target whose disk takes the size that comes as a line of stdin; it ends with stdin.
 *
 *     growing-target.ts HOST IQN IMAGE
 */
import { createInterface } from "node:readline"
import { FileStore } from "../../src/backstore/index.ts"
import { Target } from "../../src/index.ts"

const [host = "127.0.0.1", name = "", image = ""] = process.argv.slice(2)
const disk = await FileStore.open(image)
const target = new Target({ name })
target.addLogicalUnit(0, disk)
await target.listen({ host, port: 3260 })
console.log("ready")
for await (const line of createInterface({ input: process.stdin })) {
  await disk.resize(Number(line))
  console.log(`resized to ${disk.sizeBytes}`)
}
await target.close()
await disk.close()
