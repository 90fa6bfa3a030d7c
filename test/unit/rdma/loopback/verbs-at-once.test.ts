import { verbsSuite } from "../../../suites/verbs.ts"
import { loopbackPair } from "./pair.ts"

const open = (seed: number) => Promise.resolve(loopbackPair(seed, { latencyMs: [0, 0] }).pair)

verbsSuite({ name: "loopback without latency", open }, [6])
