/**
 * A target reached through two portals, each a target port group of its own: 1 is active/optimized, 2 active/non-optimized.
 * A line of stdin changes access states; a group that it sends `into` one is transitioning until the next line comes.
 * What the states are comes back as a line. It ends with stdin.
 *
 *     two-path-target.ts IQN IMAGE implicit|explicit HOST HOST
 *     1 standby 2 into active/optimized
 */
import { createInterface } from "node:readline"
import { FileStore } from "../../src/backstore/index.ts"
import { Target } from "../../src/index.ts"
import { lastingAccessStates } from "../../src/scsi/spec/access-state.ts"

const [name = "", image = "", mode = "", ...hosts] = process.argv.slice(2)
const disk = await FileStore.open(image)
const target = new Target({
  name,
  alua: {
    explicit: mode === "explicit",
    groups: [
      { id: 1, portalGroups: [1] },
      { id: 2, portalGroups: [2], state: "active/non-optimized" },
    ],
  },
})
target.addLogicalUnit(0, disk, { identity: { serial: "two-paths" } })
for (const [i, host] of hosts.entries()) await target.listen({ host, port: 3260, portalGroupTag: i + 1 })
console.log("ready")

/** Ends the transitions under way. */
let arrive = (): void => {}
let transitions: Promise<void>[] = []

for await (const line of createInterface({ input: process.stdin })) {
  arrive()
  await Promise.all(transitions)
  transitions = []
  const nextLine = new Promise<void>((resolve) => (arrive = resolve))
  for (const [, group, into, wanted] of line.matchAll(/(\d+) (into )?(\S+)/g)) {
    const state = lastingAccessStates.find((one) => one === wanted)
    if (state === undefined) throw new Error(`there is no state ${wanted}`)
    if (into) transitions.push(target.setAccessState(Number(group), state, () => nextLine))
    else await target.setAccessState(Number(group), state)
  }
  const states = target.targetPortGroups().map((group) => `${group.id} ${group.state}`)
  console.log(states.join(" "))
}
arrive()
await target.close()
await disk.close()
