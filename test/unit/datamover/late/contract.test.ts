/**
 * The contract suite for datamovers, run by those that turn from TCP to iSER behind the login, and by those
 * that needn't.
 */
import { baseSeed } from "../../../seed.ts"
import { datamoverSuite } from "../../../suites/datamover.ts"
import { iserKeys, iwarpDevices, virtualIwarpDevices } from "../iser/pairs.ts"
import { joinLate } from "./pairs.ts"

const someSizes = [1, 4097, 65536, 262145, 1048576 + 5]
const rdma = { ...iserKeys, rdmaExtensions: true }
const virtual = () => virtualIwarpDevices(baseSeed >>> 0, { chunkBytesMax: 65536 })

datamoverSuite("iser behind a login over tcp", () => joinLate(iwarpDevices()), rdma, someSizes)
datamoverSuite("iser behind a login over tcp, in virtual time", () => joinLate(virtual()), rdma, someSizes)

/** As plain TCP has it. */
const staying = () => {
  const { stall: _stall, ...devices } = virtual()
  return joinLate(devices, false)
}
datamoverSuite("tcp that could have turned to iser, in virtual time", staying, {}, someSizes)
