/** The contract suite for datamovers, run by iSER over software iWARP in virtual time. */
import { baseSeed, seedCount } from "../../../seed.ts"
import { datamoverSuite } from "../../../suites/datamover.ts"
import { iserKeys, joinIser, longKeys, virtualIwarpDevices } from "./pairs.ts"

const tiny = { maxSendDataSegmentLength: 513, maxRecvDataSegmentLength: 513, maxBurstLength: 1030 }
const someSizes = [1, 4097, 65536, 262145, 1048576 + 5]
const smallSizes = [1, 3, 512, 513, 1030, 1031, 20_001]

for (let i = 0; i < seedCount(1); i++) {
  const seed = (baseSeed + i) >>> 0
  datamoverSuite(
    `iser over iwarp in virtual time, seed ${seed}`,
    () => joinIser(virtualIwarpDevices(seed, { chunkBytesMax: 65536 })),
    iserKeys,
    someSizes,
  )
  datamoverSuite(
    `iser over iwarp in virtual time, tiny, seed ${seed}`,
    () => joinIser(virtualIwarpDevices(seed, { chunkBytesMax: 1000 }, { fpduBytes: 400 })),
    { ...iserKeys, ...tiny },
    smallSizes,
  )
  datamoverSuite(
    `iser over iwarp in virtual time, long PDUs, seed ${seed}`,
    () => joinIser(virtualIwarpDevices(seed, { chunkBytesMax: 200_000 })),
    longKeys,
    someSizes,
  )
}
