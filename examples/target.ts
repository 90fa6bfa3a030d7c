// A target in ten lines: node --import tsx examples/target.ts disk.img
import { Target } from "sanlet"
import { FileStore } from "sanlet/backstore"

const disk = await FileStore.open(process.argv[2] ?? "disk.img", { sizeBytes: 10 * 2 ** 30, create: true })
const target = new Target({ name: "iqn.2026-01.org.example:disk0" })
target.addLogicalUnit(0, disk)
const portal = await target.listen({ host: "127.0.0.1", port: Number(process.argv[3] ?? 3260) })
console.log(`serving iscsi://${portal.address}/${target.name}/0`)
process.once("SIGINT", () => void target.close().then(() => disk.close()))
