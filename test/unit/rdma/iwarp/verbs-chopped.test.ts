import { verbsSuite } from "../../../suites/verbs.ts"
import { iwarpPair } from "./pair.ts"

/** A network that cuts everything to pieces and takes little at a time. */
const link = { chunkBytesMax: 700, windowBytes: 4000, latencyMs: [0.001, 0.01] as const }
const options = { link, active: { fpduBytes: "mss" }, passive: { fpduBytes: 20_000, crc: false } } as const
const without = { link: { ...link, chunkBytesMax: 20_000 }, active: { crc: false }, passive: { crc: false } }

verbsSuite({ name: "iwarp in pieces", open: (seed) => Promise.resolve(iwarpPair(seed, options).pair) }, [4])
verbsSuite(
  { name: "iwarp in pieces without CRC", open: (seed) => Promise.resolve(iwarpPair(seed, without).pair) },
  [5],
)
