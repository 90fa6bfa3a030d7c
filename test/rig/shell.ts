/**
 * A guest to look around in: boots it and runs each line of stdin there; `! command` runs on the host side.
 *
 *     npm run rig
 */
import { createInterface } from "node:readline"
import { Rig } from "./rig.ts"

const rig = await Rig.start()
const guest = await rig.boot()
console.log(
  `${guest.name} is up at ${rig.network.guestAddress(1)}, the host side at ${rig.network.hostAddress()}`,
)
const input = createInterface({ input: process.stdin, output: process.stdout, prompt: `${guest.name}# ` })
input.prompt()
for await (const line of input) {
  const onHost = line.startsWith("!")
  const { code, stdout, stderr } = onHost
    ? await rig.network.run("bash", ["-c", line.slice(1)])
    : await guest.run(line)
  process.stdout.write(`${stdout}${stderr}${code === 0 ? "" : `exit code ${code}\n`}`)
  input.prompt()
}
await rig.stop()
