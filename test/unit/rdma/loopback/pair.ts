import { SeededRandom } from "../../../../src/base/random.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { LoopbackFabric } from "../../../../src/rdma/loopback/index.ts"
import type { LoopbackTiming } from "../../../../src/rdma/loopback/index.ts"
import type { VerbsPair } from "../../../suites/verbs.ts"

const TOO_LONG_MS = 120_000

/** Two devices in virtual time. */
export function loopbackPair(seed: number, timing: Partial<LoopbackTiming> = {}) {
  const clock = new VirtualClock()
  const fabric = new LoopbackFabric({
    clock,
    random: new SeededRandom(seed),
    latencyMs: [0.01, 0.5],
    segmentBytes: [1, 40_000],
    ...timing,
  })
  const active = fabric.openDevice("10.0.0.1")
  const passive = fabric.openDevice("10.0.0.2")
  const pair: VerbsPair = {
    active,
    passive,
    host: passive.address,
    until: async (what, done) => {
      if (!(await clock.advance(TOO_LONG_MS, done))) throw new Error(`waited in vain for ${what}`)
    },
    rest: async () => void (await clock.advance(200)),
    stall: (stalled) => {
      for (const link of fabric.links) link.stall(stalled)
    },
    dispose: async () => {
      await active.close()
      await passive.close()
    },
  }
  return { clock, fabric, active, passive, pair }
}
