/** Valid conversations whose PDUs are changed on the way: by a malicious initiator, or by a malicious target. */
import { test, type TestContext } from "node:test"
import type { Direction } from "../sim/pdu-tap.ts"
import { TimeBox } from "../sim/time-box.ts"
import { forEachSeed } from "../seed.ts"
import { attack } from "./attack.ts"
import { boundedMemory } from "./memory.ts"

const SEEDS = 500

/** Longest the seeds of one test may take, in ms. */
const SEEDS_MS_MAX = 90_000

async function attackSeeds(t: TestContext, from: Direction): Promise<void> {
  let mutated = 0
  const box = new TimeBox(SEEDS_MS_MAX)
  await boundedMemory(() =>
    forEachSeed(import.meta.url, SEEDS, (seed) =>
      box.run(async () => {
        mutated += await attack(seed, [from])
      }),
    ),
  )
  t.diagnostic(`${box.text}; ${mutated} PDUs were changed`)
}

test("a malicious initiator hurts nobody but itself", (t) => attackSeeds(t, "to target"))

test("a malicious target gets typed errors out of our initiator, and nothing else", (t) =>
  attackSeeds(t, "to initiator"))
