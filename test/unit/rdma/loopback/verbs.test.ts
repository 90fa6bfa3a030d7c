import { verbsSuite } from "../../../suites/verbs.ts"
import { loopbackPair } from "./pair.ts"

verbsSuite({ name: "loopback", open: (seed) => Promise.resolve(loopbackPair(seed).pair) }, [1, 2, 3])
