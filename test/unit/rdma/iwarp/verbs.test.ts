import { verbsSuite } from "../../../suites/verbs.ts"
import { iwarpPair } from "./pair.ts"

verbsSuite({ name: "iwarp", open: (seed) => Promise.resolve(iwarpPair(seed).pair) }, [1, 2, 3])
