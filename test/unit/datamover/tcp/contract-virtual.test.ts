/** The contract suite for datamovers, run by tcp in virtual time. */
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { baseSeed, seedCount } from "../../../seed.ts"
import { datamoverSuite } from "../../../suites/datamover.ts"
import { virtualPair } from "./pairs.ts"

const tiny: Partial<DatamoverKeys> = {
  maxSendDataSegmentLength: 513,
  maxRecvDataSegmentLength: 513,
  maxBurstLength: 1030,
  maxOutstandingR2T: 3,
}
const digests: Partial<DatamoverKeys> = { headerDigest: "CRC32C", dataDigest: "CRC32C" }
const smallSizes = [1, 3, 512, 513, 1030, 1031, 20_001]
const someSizes = [1, 4097, 65536, 262145, 1048576 + 5]

for (let i = 0; i < seedCount(2); i++) {
  const seed = (baseSeed + i) >>> 0
  datamoverSuite(`tcp in virtual time, seed ${seed}`, () => virtualPair(seed, 65536), {}, someSizes)
  datamoverSuite(`tcp in virtual time, tiny, seed ${seed}`, () => virtualPair(seed, 300), tiny, smallSizes)
  datamoverSuite(
    `tcp in virtual time, tiny with digests, seed ${seed}`,
    () => virtualPair(seed, 300),
    { ...tiny, ...digests },
    smallSizes,
  )
}
