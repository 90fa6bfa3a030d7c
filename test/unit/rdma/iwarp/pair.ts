import { SeededRandom } from "../../../../src/base/random.ts"
import { SimNetwork } from "../../../../src/base/sim-network.ts"
import type { SimLinkOptions } from "../../../../src/base/sim-stream.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { IwarpDevice } from "../../../../src/rdma/iwarp/index.ts"
import type { IwarpOptions } from "../../../../src/rdma/iwarp/index.ts"
import type { VerbsPair } from "../../../suites/verbs.ts"

const TOO_LONG_MS = 120_000

export interface IwarpPairOptions {
  readonly link?: Partial<SimLinkOptions>
  readonly active?: IwarpOptions
  readonly passive?: IwarpOptions
}

/** Two devices in virtual time, and the network between them. */
export function iwarpPair(seed: number, options: IwarpPairOptions = {}) {
  const clock = new VirtualClock()
  const network = new SimNetwork(clock, new SeededRandom(seed), options.link)
  const active = new IwarpDevice({ clock, network, random: new SeededRandom(seed + 1), ...options.active })
  const passive = new IwarpDevice({ clock, network, random: new SeededRandom(seed + 2), ...options.passive })
  const pair: VerbsPair = {
    active,
    passive,
    host: "10.0.0.2",
    until: async (what, done) => {
      if (!(await clock.advance(TOO_LONG_MS, done))) throw new Error(`waited in vain for ${what}`)
    },
    rest: async () => void (await clock.advance(200)),
    dispose: async () => {
      await active.close()
      await passive.close()
    },
  }
  return { clock, network, active, passive, pair }
}
