import { test } from "node:test"
import { simulateSeeds } from "./simulation.ts"

const SEEDS = 1600

test("nothing acknowledged is lost when connections, targets and the power fail", (t) =>
  simulateSeeds(t, import.meta.url, SEEDS, {
    network: 0.8,
    crash: 0.3,
    restart: 0.15,
    delay: 0.4,
    fault: 0,
    abort: 0.2,
    taskManagement: 0.05,
    inventory: 0,
  }))
