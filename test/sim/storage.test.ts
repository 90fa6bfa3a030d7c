import { test } from "node:test"
import { simulateSeeds } from "./simulation.ts"

const SEEDS = 1600

test("every block is what somebody wrote when devices fail, tasks are aborted and LUNs come and go", (t) =>
  simulateSeeds(t, import.meta.url, SEEDS, {
    network: 0.15,
    crash: 0,
    restart: 0.05,
    delay: 0.7,
    fault: 0.5,
    abort: 0.5,
    taskManagement: 0.5,
    inventory: 0.4,
  }))
