import type { Network } from "../base/byte-stream.ts"
import { type Clock, systemClock } from "../base/clock.ts"
import { DATA_BUFFER_BYTES_MAX } from "../base/limits.ts"
import { type Log, silentLog } from "../base/log.ts"
import { nodeNetwork } from "../base/node-network.ts"
import { type Random, systemRandom } from "../base/random.ts"
import { DataBufferBudget } from "../datamover/shared/index.ts"
import { defaultIserConnector, type IserConnector } from "./iser.ts"
import { TransportMemory } from "./transport.ts"

/** Where an initiator gets time, randomness and connections from; a simulation brings its own. */
export interface InitiatorServices {
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly log: Log
  readonly budget: DataBufferBudget
  /** How iSER connections come about; false: only TCP is used. Default: over software iWARP. */
  readonly iser?: IserConnector | false
  readonly transports: TransportMemory
}

let shared: InitiatorServices | undefined

/** The machine's, with one memory budget for all initiators of the process; `own` replaces some. */
export function services(own: Partial<InitiatorServices> = {}): InitiatorServices {
  shared ??= {
    clock: systemClock,
    random: systemRandom,
    network: nodeNetwork,
    log: silentLog,
    budget: new DataBufferBudget(DATA_BUFFER_BYTES_MAX),
    transports: new TransportMemory(systemClock),
  }
  const all = { ...shared, ...(own.clock && { transports: new TransportMemory(own.clock) }), ...own }
  if (all.iser !== undefined) return all
  const iser = defaultIserConnector(all)
  return iser ? { ...all, iser } : all
}
