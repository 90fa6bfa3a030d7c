/** The contract suite for datamovers, run by tcp over loopback. */
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { datamoverSuite } from "../../../suites/datamover.ts"
import { loopbackPair } from "./pairs.ts"

const anyOrder: Partial<DatamoverKeys> = {
  dataPduInOrder: false,
  dataSequenceInOrder: false,
  maxOutstandingR2T: 32,
}
const digests: Partial<DatamoverKeys> = { headerDigest: "CRC32C", dataDigest: "CRC32C" }
const someSizes = [1, 4097, 65536, 262145, 1048576 + 5]

datamoverSuite("tcp over loopback", () => loopbackPair("127.0.0.1"))
datamoverSuite("tcp over loopback, with digests", () => loopbackPair("127.0.0.1"), digests)
datamoverSuite("tcp over loopback, any order", () => loopbackPair("::1"), anyOrder, someSizes)
