/** iSER datamovers joined back to back, over whichever device. */
import { setImmediate, setTimeout } from "node:timers/promises"
import type { ByteStream, Network } from "../../../../src/base/byte-stream.ts"
import { type Clock, systemClock } from "../../../../src/base/clock.ts"
import { nodeNetwork } from "../../../../src/base/node-network.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { SimNetwork } from "../../../../src/base/sim-network.ts"
import type { SimLinkOptions } from "../../../../src/base/sim-stream.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { acceptIser, connectIser } from "../../../../src/datamover/iser/index.ts"
import type { IserInitiatorDatamover, IserTargetDatamover } from "../../../../src/datamover/iser/index.ts"
import { memoryOf } from "../../../../src/datamover/iser/registered-memory.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/budget.ts"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { IwarpDevice } from "../../../../src/rdma/iwarp/index.ts"
import type { IwarpOptions } from "../../../../src/rdma/iwarp/index.ts"
import { LoopbackFabric } from "../../../../src/rdma/loopback/index.ts"
import type { LoopbackTiming } from "../../../../src/rdma/loopback/pipe.ts"
import type { Device } from "../../../../src/rdma/verbs/index.ts"
import type { DatamoverPair } from "../../../suites/datamover.ts"

/** What iSER peers agree on: PDUs are short, as data isn't in them. */
export const iserKeys: Partial<DatamoverKeys> = {
  maxSendDataSegmentLength: 8192,
  maxRecvDataSegmentLength: 8192,
  taggedBufferForSolicitedDataOnly: true,
}

/** What our own ends agree on: room for much data that comes with its command. */
export const longKeys: Partial<DatamoverKeys> = {
  ...iserKeys,
  maxSendDataSegmentLength: 262144,
  maxRecvDataSegmentLength: 262144,
}

/** What a pair of devices needs besides. */
export interface DevicePair {
  readonly clock: Clock
  /** The target's, and where it listens; the initiator's. */
  readonly passive: Device
  readonly host: string
  readonly active: Device
  until(what: string, done: () => boolean): Promise<void>
  settle(): Promise<void>
  readonly stall?: (stalled: boolean) => void
  readonly systemBuffers?: boolean
  close(): Promise<void>
}

export interface IserPair extends DatamoverPair {
  readonly target: IserTargetDatamover
  readonly initiator: IserInitiatorDatamover
  readonly budget: DataBufferBudget
}

export async function joinIser(devices: DevicePair): Promise<IserPair> {
  const { clock, passive, active, host, until, settle, stall } = devices
  const budget = new DataBufferBudget(64 * 1024 * 1024)
  let target: IserTargetDatamover | undefined
  let initiator: IserInitiatorDatamover | undefined
  let failure: unknown
  const failed = (error: unknown) => {
    failure = error
  }
  const listener = await passive.listen({ host, port: 0 }, (request) => {
    acceptIser(request, { clock, budget, device: passive }).then((made) => {
      target = made
    }, failed)
  })
  const to = { host, port: listener.local.port }
  connectIser((options) => active.connect(to, options), { clock, budget, device: active }).then((made) => {
    initiator = made
  }, failed)
  await until("the connection", () => {
    if (failure) throw failure as Error
    return target !== undefined && initiator !== undefined
  })
  const both = { target: target!, initiator: initiator! }
  return {
    ...both,
    budget,
    until,
    settle,
    lentBytes: () => budget.takenBytes,
    ...(stall && { stall }),
    systemBuffers: devices.systemBuffers === true,
    lateDataEndsConnection: true,
    async dispose() {
      stall?.(false)
      both.target.connectionTerminate()
      both.initiator.connectionTerminate()
      await listener.close()
      // All there is left is what the arena keeps at hand, and no receive of anybody's.
      await until("all memory to come back", () => memoryOf(passive).forTarget().pool.taken <= 1)
      await until("the receives", () => memoryOf(passive).receiveBytes + memoryOf(active).receiveBytes === 0)
      await devices.close()
    },
  }
}

/** In virtual time, over the loopback provider: latencies and the cut of messages are the seed's. */
export function loopbackDevices(seed: number, timing: Partial<LoopbackTiming> = {}): DevicePair {
  const clock = new VirtualClock()
  const fabric = new LoopbackFabric({
    clock,
    random: new SeededRandom(seed),
    latencyMs: [0.01, 2],
    segmentBytes: [1000, 70_000],
    ...timing,
  })
  const passive = fabric.openDevice("10.0.0.1")
  const active = fabric.openDevice("10.0.0.2")
  return {
    clock,
    passive,
    active,
    host: "10.0.0.1",
    until: async (what, done) => {
      if (!(await clock.advance(600_000, done))) throw new Error(`${what}: not within ten minutes`)
    },
    settle: async () => void (await clock.advance(100)),
    stall: (stalled) => {
      for (const link of fabric.links) link.stall(stalled)
    },
    async close() {
      await passive.close()
      await active.close()
    },
  }
}

/** In virtual time, over iWARP; bytes are cut anywhere. */
export function virtualIwarpDevices(
  seed: number,
  link: Partial<SimLinkOptions>,
  options: IwarpOptions = {},
): DevicePair {
  const clock = new VirtualClock()
  const network = new SimNetwork(clock, new SeededRandom(seed), link)
  const device = (more: number) =>
    new IwarpDevice({ clock, network, random: new SeededRandom(seed + more), ...options })
  const [active, passive] = [device(1), device(2)]
  return {
    clock,
    passive,
    active,
    host: "10.0.0.1",
    until: async (what, done) => {
      if (!(await clock.advance(600_000, done))) throw new Error(`${what}: not within ten minutes`)
    },
    settle: async () => void (await clock.advance(1000)),
    stall: (stalled) => {
      for (const one of network.links) one.stall(stalled)
    },
    async close() {
      await passive.close()
      await active.close()
    },
  }
}

/** Over iWARP and the machine's TCP. */
export function iwarpDevices(options: IwarpOptions = {}): DevicePair {
  const connected: ByteStream[] = []
  const network: Network = {
    ...nodeNetwork,
    async connect(to, how) {
      const stream = await nodeNetwork.connect(to, how)
      connected.push(stream)
      return stream
    },
  }
  const active = new IwarpDevice({ network, ...options })
  const passive = new IwarpDevice(options)
  return {
    clock: systemClock,
    systemBuffers: true,
    passive,
    active,
    host: "127.0.0.1",
    until: async (what, done) => {
      const endMs = systemClock.nowMs() + 10_000
      while (!done()) {
        if (systemClock.nowMs() > endMs) throw new Error(`${what}: not within ten seconds`)
        await setImmediate()
      }
    },
    settle: () => setTimeout(20),
    stall: (stalled) => {
      for (const stream of connected) {
        if (stalled) stream.pause()
        else stream.resume()
      }
    },
    async close() {
      await passive.close()
      await active.close()
    },
  }
}
