import { test } from "node:test"
import { networkTrouble } from "./profiles.ts"
import { simulateSeeds } from "./simulation.ts"

const SEEDS = 1600

test("iSER: nothing acknowledged is lost when connections, targets and the power fail, and bits are damaged", (t) =>
  simulateSeeds(t, import.meta.url, SEEDS, networkTrouble, ["iser", "iser", "iser", "auto", "tcp"]))
