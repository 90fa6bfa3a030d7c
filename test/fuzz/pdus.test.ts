/** Valid conversations whose PDUs are changed on the way: by a malicious initiator, or by a malicious target. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { forEachSeed } from "../seed.ts"
import { attack } from "./attack.ts"
import { boundedMemory } from "./memory.ts"

const SEEDS = 500

test("a malicious initiator hurts nobody but itself", async (t) => {
  let mutated = 0
  await boundedMemory(() =>
    forEachSeed(import.meta.url, SEEDS, async (seed) => {
      mutated += await attack(seed, ["to target"])
    }),
  )
  assert.ok(mutated > 0)
  t.diagnostic(`${mutated} PDUs were changed`)
})

test("a malicious target gets typed errors out of our initiator, and nothing else", async (t) => {
  let mutated = 0
  await boundedMemory(() =>
    forEachSeed(import.meta.url, SEEDS, async (seed) => {
      mutated += await attack(seed, ["to initiator"])
    }),
  )
  assert.ok(mutated > 0)
  t.diagnostic(`${mutated} PDUs were changed`)
})
