import { test } from "node:test"
import { storageTrouble } from "./profiles.ts"
import { simulateSeeds } from "./simulation.ts"

const SEEDS = 1600

test("every block is what somebody wrote when devices fail, tasks are aborted and LUNs come and go", (t) =>
  simulateSeeds(t, import.meta.url, SEEDS, storageTrouble, ["tcp"]))
