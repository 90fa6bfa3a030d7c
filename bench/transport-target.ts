/** The target's process of bench/transports.ts: serves the image named on its command line until its standard input ends. */
import { iserOverIwarp, Target } from "sanlet"
import { FileStore } from "sanlet/backstore"

const [image = ""] = process.argv.slice(2)
const disk = await FileStore.open(image)
const target = new Target({ name: "iqn.2026-01.org.example:transports" })
target.addLogicalUnit(0, disk)
// CRCs are used when either side asks for them: the initiator decides.
const iser = iserOverIwarp({ crc: false })
const portal = await target.listen({ host: "127.0.0.1", port: 0 }, { iser })
console.log(`serving iscsi://${portal.address}/${target.name}/0`)
process.stdin.resume().once("end", () => void target.close().then(() => disk.close()))
