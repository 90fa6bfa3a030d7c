/** A conversation whose PDUs are changed on the way, beside one that is left alone. */
import { sleep } from "../../src/base/clock.ts"
import { SanletError } from "../../src/base/errors.ts"
import type { Disk } from "../../src/initiator/index.ts"
import { type Direction, TappedNetwork } from "../sim/pdu-tap.ts"
import { PduMutator } from "./mutator.ts"
import { mustBeTyped, Pair, VICTIM } from "./pair.ts"

const VICTIM_OPERATIONS = 30
const OPENINGS_MAX = 6
const COMMAND_TIMEOUT_MS = 1500

/** What the victim does, however it goes. */
async function suffer(pair: Pair, network: TappedNetwork): Promise<void> {
  const { random, clock } = pair
  let left = VICTIM_OPERATIONS
  for (let opening = 0; opening < OPENINGS_MAX && left > 0; opening++) {
    const options = {
      name: "iqn.2026-01.org.example:host-v",
      keys: {
        headerDigest: random.pick(digests),
        dataDigest: random.pick(digests),
        initialR2T: random.chance(0.5),
      },
      services: { network },
      timeoutMs: COMMAND_TIMEOUT_MS,
      reconnect: { totalMs: 2000, delayMs: 20 },
      nopIntervalMs: 500,
      nopDeadlineMs: 500,
      loginDeadlineMs: 3000,
      signal: deadline(pair, 20_000),
    }
    try {
      const disk = await pair.open(VICTIM, random.below(2), options)
      while (left > 0 && disk.session.state !== "closed") {
        left -= 4
        await Promise.allSettled([act(pair, disk), act(pair, disk), act(pair, disk), act(pair, disk)]).then(
          check,
        )
        await sleep(clock, random.below(30), "victim's pause")
      }
      await disk.close()
    } catch (error) {
      mustBeTyped(error)
    }
  }
}

const digests = [["None"], ["None"], ["CRC32C"]] as const

/** A setup that goes nowhere (each step may take its whole deadline) is given up. */
function deadline(pair: Pair, afterMs: number): AbortSignal {
  const controller = new AbortController()
  pair.clock.after(afterMs, "victim's deadline", () =>
    controller.abort(new SanletError("ERR_TEST_LATE", "it took too long")),
  )
  return controller.signal
}

function check(outcomes: readonly PromiseSettledResult<unknown>[]): void {
  for (const outcome of outcomes) if (outcome.status === "rejected") mustBeTyped(outcome.reason)
}

async function act({ random }: Pair, disk: Disk): Promise<void> {
  const lba = random.below(300)
  const bytes = (1 + random.below(random.pick([4, 64]))) * 512
  const data = new Uint8Array(bytes).fill(lba & 0xff)
  switch (random.below(8)) {
    case 0:
    case 1:
      return disk.readBlocks(lba, data)
    case 2:
    case 3:
      return disk.writeBlocks(lba, data)
    case 4:
      return disk.flush()
    case 5:
      return disk.reset()
    case 6:
      return void (await disk.session.sendTargets("", undefined))
    default:
      return disk.unmap([{ lba, countBlocks: 3 }])
  }
}

/** Resolves with how many PDUs were changed; rejects when anybody was hurt who should not be. */
export async function attack(seed: number, from: readonly Direction[]): Promise<number> {
  const pair = new Pair(seed)
  await pair.start()
  const mutator = new PduMutator(pair.random, pair.random.pick([3, 10, 30]))
  const network = new TappedNetwork(pair.network, pair.clock, (pdu, direction, connection) =>
    from.includes(direction) ? mutator.next(pdu, connection) : [pdu],
  )
  await pair.run([pair.beHealthy(20), suffer(pair, network)])
  return mutator.mutated
}
