/** What a simulation is about: all of it drawn from its seed. */
import type { SimLinkOptions } from "../../src/base/sim-stream.ts"
import type { SeededRandom } from "../../src/base/random.ts"
import type { Transport } from "../../src/initiator/index.ts"
import type { KeyPreferences } from "../../src/iscsi/login/index.ts"
import type { IwarpOptions } from "../../src/rdma/iwarp/index.ts"

/** How likely a kind of trouble is to be part of a scenario, 0 to 1. */
export interface Profile {
  /** Connections cut, stalled or refused. */
  readonly network: number
  /** Bits are damaged on their way, where MPA's CRC shows it. */
  readonly damage: number
  /** The power of the target fails. */
  readonly crash: number
  /** The target is closed in good order and comes back. */
  readonly restart: number
  /** Devices take their time. */
  readonly delay: number
  /** Devices fail, tear writes or hang. */
  readonly fault: number
  /** Operations are aborted. */
  readonly abort: number
  /** Task management functions. */
  readonly taskManagement: number
  /** Logical units are added, removed and resized. */
  readonly inventory: number
}

export interface LunPlan {
  readonly blockBytes: 512 | 4096
  readonly countBlocks: number
  /** It has a write cache that is lost with the power. */
  readonly volatile: boolean
  readonly delayMsMax: number
  /** What it was asked to do it does, although the task is aborted. */
  readonly stubborn: boolean
  readonly faulty: boolean
}

export type IwarpPlan = Pick<IwarpOptions, "crc" | "fpduBytes" | "revision" | "peerToPeer">

export interface ClientPlan {
  readonly transport: Transport
  readonly iwarp: IwarpPlan
  readonly keys: Partial<KeyPreferences>
  readonly queueDepth: number
  readonly transferBytesMax: number
  readonly workers: number
  readonly operations: number
  readonly portal: number
  readonly timeoutMs: number | undefined
  readonly nopIntervalMs: number
}

export interface Scenario {
  readonly link: SimLinkOptions
  readonly portals: number
  readonly targetKeys: Partial<KeyPreferences>
  readonly targetIwarp: IwarpPlan
  readonly bufferBytesMax: number
  readonly luns: readonly LunPlan[]
  readonly clients: readonly ClientPlan[]
  /** Longest operation, in bytes. */
  readonly operationBytesMax: number
  readonly trouble: { readonly [kind in keyof Profile]: boolean }
  /** Between two troubles, in ms. */
  readonly troubleEveryMs: number
}

const KiB = 1024

function drawKeys(random: SeededRandom): Partial<KeyPreferences> {
  const maxBurstLength = random.pick([512, 1000, 4096, 8 * KiB, 64 * KiB, 256 * KiB, 1024 * KiB])
  const digests = () => random.pick([["None"], ["CRC32C"], ["CRC32C", "None"], ["None", "CRC32C"]] as const)
  return {
    headerDigest: digests(),
    dataDigest: digests(),
    maxRecvDataSegmentLength: random.pick([512, 1234, 4096, 8 * KiB, 64 * KiB, 256 * KiB]),
    maxBurstLength,
    firstBurstLength: random.pick([512, 2048, 8 * KiB, maxBurstLength]),
    initialR2T: random.chance(0.5),
    immediateData: random.chance(0.5),
    maxOutstandingR2T: random.pick([1, 1, 2, 3, 8, 32]),
    dataPduInOrder: random.chance(0.5),
    dataSequenceInOrder: random.chance(0.5),
    defaultTime2Wait: random.pick([0, 0, 1]),
  }
}

const drawIwarp = (random: SeededRandom): IwarpPlan => ({
  crc: random.chance(0.6),
  fpduBytes: random.pick(["auto", "auto", "mss", 128, 1000, 8 * KiB, 64_000]),
  revision: random.pick([2, 2, 2, 1]),
  peerToPeer: random.chance(0.5),
})

/** Both sides must have a digest in common: one of them is always open to both. */
const agreeable = (keys: Partial<KeyPreferences>): Partial<KeyPreferences> => ({
  ...keys,
  headerDigest: ["None", "CRC32C"],
  dataDigest: ["None", "CRC32C"],
})

function drawLun(random: SeededRandom, trouble: Scenario["trouble"]): LunPlan {
  const blockBytes = random.chance(0.8) ? 512 : 4096
  return {
    blockBytes,
    countBlocks: blockBytes === 512 ? random.pick([48, 130, 300]) : random.pick([9, 40]),
    volatile: trouble.crash || trouble.restart || random.chance(0.3),
    delayMsMax: trouble.delay ? random.pick([0, 0.5, 5, 50]) : 0,
    stubborn: random.chance(0.5),
    faulty: trouble.fault && random.chance(0.8),
  }
}

/** `transports`: what clients draw theirs from; `load`: operations of a seed, all clients together. */
export function drawScenario(
  random: SeededRandom,
  profile: Profile,
  transports: readonly Transport[],
  load: number,
): Scenario {
  const names = Object.keys(profile) as (keyof Profile)[]
  const trouble = Object.fromEntries(names.map((name) => [name, random.chance(profile[name])]))
  const kinds = trouble as Scenario["trouble"]
  const clients = random.pick([1, 1, 2, 3])
  const chunkBytesMax = random.pick([30, 300, 1460, 9000, 65536, 65536])
  const portals = random.pick([1, 2])
  // Somebody else may end a command without a word (another's reset, a LUN that goes away): it takes a timeout then.
  const mute = kinds.inventory || (kinds.taskManagement && clients > 1) || kinds.fault
  const drawClient = (): ClientPlan => ({
    transport: random.pick(transports),
    iwarp: drawIwarp(random),
    keys: drawKeys(random),
    queueDepth: random.pick([1, 2, 8, 32]),
    transferBytesMax: random.pick([2048, 16 * KiB, 64 * KiB, 1024 * KiB]),
    workers: random.pick([1, 2, 4, 8]),
    operations: Math.ceil(load / clients),
    portal: random.below(portals),
    timeoutMs: mute || random.chance(0.2) ? random.pick([300, 2000, 40_000]) : undefined,
    nopIntervalMs: random.pick([50, 500, 5000]),
  })
  return {
    link: {
      latencyMs: random.pick([
        [0, 0],
        [0.05, 0.5],
        [1, 20],
      ]),
      bytesPerMs: random.pick([10_000, 1_000_000]),
      chunkBytesMax,
      windowBytes: random.pick([4096, 16 * KiB, 256 * KiB]),
    },
    portals,
    targetKeys: agreeable(drawKeys(random)),
    targetIwarp: drawIwarp(random),
    bufferBytesMax: random.pick([64 * KiB, 1024 * KiB, 64 * 1024 * KiB]),
    luns: Array.from({ length: random.pick([1, 1, 2, 3]) }, () => drawLun(random, kinds)),
    clients: Array.from({ length: clients }, drawClient),
    operationBytesMax: Math.max(
      4096,
      Math.min(chunkBytesMax * 12, random.pick([4096, 16 * KiB, 64 * KiB, 128 * KiB])),
    ),
    trouble: kinds,
    troubleEveryMs: random.pick([5, 30, 200]),
  }
}
