/** TCP datamovers joined back to back: in virtual time with bytes cut anywhere, and over loopback. */
import { setImmediate, setTimeout } from "node:timers/promises"
import type { ByteStream, Network } from "../../../../src/base/byte-stream.ts"
import { systemClock } from "../../../../src/base/clock.ts"
import type { Clock } from "../../../../src/base/clock.ts"
import { nodeNetwork } from "../../../../src/base/node-network.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { SimNetwork } from "../../../../src/base/sim-network.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/index.ts"
import { TcpInitiatorDatamover, TcpTargetDatamover } from "../../../../src/datamover/tcp/index.ts"
import type { DatamoverPair } from "../../../suites/datamover.ts"

async function join(
  network: Network,
  clock: Clock,
  host: string,
  wait: (what: string, done: () => boolean) => Promise<void>,
  settle: () => Promise<void>,
): Promise<DatamoverPair> {
  const budget = new DataBufferBudget(64 * 1024 * 1024)
  let accepted: ByteStream | undefined
  const listener = await network.listen({ host, port: 0 }, (stream) => {
    accepted = stream
  })
  let connected: ByteStream | undefined
  const connecting = network.connect({ host, port: listener.local.port }).then((stream) => {
    connected = stream
  })
  await wait("the connection", () => accepted !== undefined && connected !== undefined)
  await connecting
  const damage = damageOf(connected!)
  const target = new TcpTargetDatamover(accepted!, { clock, budget })
  const initiator = new TcpInitiatorDatamover(connected!, { clock, budget })
  return {
    target,
    initiator,
    until: wait,
    settle,
    lentBytes: () => budget.takenBytes,
    damage,
    async dispose() {
      target.connectionTerminate()
      initiator.connectionTerminate()
      await listener.close()
      // All there is left is what the arena keeps at hand.
      await wait("all memory to come back", () => budget.pool.taken <= 1)
    },
  }
}

/** From then on the first run of bytes written that equals `marker` leaves the stream changed. */
function damageOf(stream: ByteStream): (marker: Uint8Array) => void {
  const write = stream.write.bind(stream)
  let wanted: Uint8Array | undefined
  stream.write = (pieces, sent) => {
    const passed = pieces.map((piece) => {
      const at =
        wanted === undefined ? -1 : Buffer.from(piece.buffer, piece.byteOffset, piece.length).indexOf(wanted)
      if (at < 0) return piece
      wanted = undefined
      const changed = Uint8Array.from(piece)
      changed[at]! ^= 1
      return changed
    })
    write(passed, sent)
  }
  return (marker) => {
    wanted = marker
  }
}

export function virtualPair(seed: number, chunkBytesMax: number): Promise<DatamoverPair> {
  const clock = new VirtualClock()
  const network = new SimNetwork(clock, new SeededRandom(seed), { chunkBytesMax })
  const wait = async (what: string, done: () => boolean) => {
    if (!(await clock.advance(600_000, done))) throw new Error(`${what}: not within ten minutes`)
  }
  return join(network, clock, "10.0.0.1", wait, async () => void (await clock.advance(1_000)))
}

export function loopbackPair(host: string): Promise<DatamoverPair> {
  const wait = async (what: string, done: () => boolean) => {
    const endMs = systemClock.nowMs() + 10_000
    while (!done()) {
      if (systemClock.nowMs() > endMs) throw new Error(`${what}: not within ten seconds`)
      await setImmediate()
    }
  }
  return join(nodeNetwork, systemClock, host, wait, () => setTimeout(20))
}
