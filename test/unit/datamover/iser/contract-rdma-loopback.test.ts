/** The contract suite for datamovers, run by iSER over the loopback provider in virtual time. */
import { baseSeed, seedCount } from "../../../seed.ts"
import { datamoverSuite } from "../../../suites/datamover.ts"
import { iserKeys, joinIser, longKeys, loopbackDevices } from "./pairs.ts"

const someSizes = [1, 4097, 65536, 262145, 1048576 + 5]
const tiny = { maxSendDataSegmentLength: 513, maxRecvDataSegmentLength: 513, maxBurstLength: 1030 }
const smallSizes = [1, 3, 512, 513, 1030, 1031, 20_001]

datamoverSuite("iser over the loopback provider", () => joinIser(loopbackDevices(1)), iserKeys)

for (let i = 0; i < seedCount(1); i++) {
  const seed = (baseSeed + i) >>> 0
  datamoverSuite(
    `iser over the loopback provider, seed ${seed}`,
    () => joinIser(loopbackDevices(seed)),
    iserKeys,
    someSizes,
  )
  datamoverSuite(
    `iser over the loopback provider, tiny, seed ${seed}`,
    () => joinIser(loopbackDevices(seed, { segmentBytes: [1, 300] })),
    { ...iserKeys, ...tiny },
    smallSizes,
  )
  datamoverSuite(
    `iser over the loopback provider, long PDUs, seed ${seed}`,
    () => joinIser(loopbackDevices(seed)),
    longKeys,
    someSizes,
  )
}
