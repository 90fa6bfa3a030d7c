/** The contract suite for datamovers, run by iSER over software iWARP and the machine's TCP. */
import { datamoverSuite } from "../../../suites/datamover.ts"
import { iserKeys, iwarpDevices, joinIser } from "./pairs.ts"

datamoverSuite("iser over iwarp", () => joinIser(iwarpDevices()), iserKeys)
datamoverSuite("iser over iwarp, no CRC", () => joinIser(iwarpDevices({ crc: false })), iserKeys)
