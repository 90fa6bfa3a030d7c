import type { ProtectionType } from "../../backstore/protection/tuple.ts"
import type { Completion } from "../../base/completion.ts"
import { WriteSameBit } from "../cdb/block.ts"
import { u16, u32 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import type { Task } from "../sam/task.ts"
import { all, none } from "../sam/usage.ts"
import { identifyingInformationCommands, spcCommands } from "../spc/index.ts"
import { OperationCode, ServiceActionIn16 } from "../spec/operation-code.ts"
import { preFetch, synchronizeCache } from "./cache.ts"
import { readCapacity10, readCapacity16 } from "./capacity.ts"
import { compareAndWrite, orWrite } from "./compare-and-write.ts"
import { copyCommands } from "./copy/commands.ts"
import { defectCommands } from "./defects.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { u64 } from "./fields.ts"
import { formatUnitCommand } from "./format-unit.ts"
import { getLbaStatus } from "./lba-status.ts"
import { protectedCommands } from "./protection/commands.ts"
import { read, write } from "./read-write.ts"
import { blockEraseCommand, cryptographicEraseCommand, sanitizeCommands } from "./sanitize.ts"
import { StartStopUsage, startStopUnit } from "./start-stop.ts"
import { unmap } from "./unmap.ts"
import { verify, writeAndVerify } from "./verify.ts"
import { writeAtomic } from "./write-atomic.ts"
import { writeSame } from "./write-same.ts"

type DiskCommand = Command<DiskUnit>

/** What the members of a family share: `flags` is byte 1 of the CDB. */
type BlockOperation = (task: Task, unit: DiskUnit, lba: number, blocks: number, flags: number) => Completion

interface Family {
  readonly name: string
  readonly access: DiskCommand["access"]
  /** Bits of byte 1 that mean something; RDPROTECT and its like are not among them, so they are refused. */
  readonly flags: number
  readonly run: BlockOperation
}

/** GROUP NUMBER is accepted and ignored: there is no grouping function. */
const GROUP = 0x1f
const DPO = 0x10
const FUA = 0x08 | 0x02 // with FUA_NV
const BYTCHK = 0x06

/** The 6-byte CDB has a 21-bit LBA, and 0 stands for 256 blocks (as in SBC-2). */
const sixByte = (opcode: number, { name, access, run }: Family): DiskCommand => ({
  name: `${name} (6)`,
  opcode,
  usage: [opcode, 0x1f, ...all(3), 0],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    return run(task, unit, ((cdb[1]! & 0x1f) << 16) | u16(cdb, 2), cdb[4]! || 256, 0)
  },
})

const tenByte = (opcode: number, { name, access, flags, run }: Family): DiskCommand => ({
  name: `${name} (10)`,
  opcode,
  usage: [opcode, flags, ...all(4), GROUP, ...all(2), 0],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    return run(task, unit, u32(cdb, 2), u16(cdb, 7), cdb[1]!)
  },
})

const twelveByte = (opcode: number, { name, access, flags, run }: Family): DiskCommand => ({
  name: `${name} (12)`,
  opcode,
  usage: [opcode, flags, ...all(8), GROUP, 0],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    return run(task, unit, u32(cdb, 2), u32(cdb, 6), cdb[1]!)
  },
})

const sixteenByte = (opcode: number, { name, access, flags, run }: Family): DiskCommand => ({
  name: `${name} (16)`,
  opcode,
  usage: [opcode, flags, ...all(12), GROUP, 0],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    return run(task, unit, u64(cdb, 2), u32(cdb, 10), cdb[1]!)
  },
})

const readFamily: Family = { name: "READ", access: "read", flags: DPO | FUA, run: read }
const writeFamily: Family = { name: "WRITE", access: "write", flags: DPO | FUA, run: write }
const verifyFamily: Family = { name: "VERIFY", access: "read", flags: DPO | BYTCHK, run: verify }
const writeAndVerifyFamily: Family = {
  name: "WRITE AND VERIFY",
  access: "write",
  flags: DPO | BYTCHK,
  run: writeAndVerify,
}
const orWriteFamily: Family = { name: "ORWRITE", access: "write", flags: DPO | FUA, run: orWrite }
/** Bit 2 is SYNC_NV, obsolete: without non-volatile cache it asks for nothing less. */
const synchronizeFamily: Family = {
  name: "SYNCHRONIZE CACHE",
  access: "write",
  flags: 0x06,
  run: synchronizeCache,
}
const preFetchFamily: Family = { name: "PRE-FETCH", access: "read", flags: 0x02, run: preFetch }

const transferCommands: readonly DiskCommand[] = [
  sixByte(OperationCode.read6, readFamily),
  tenByte(OperationCode.read10, readFamily),
  twelveByte(OperationCode.read12, readFamily),
  sixteenByte(OperationCode.read16, readFamily),
  sixByte(OperationCode.write6, writeFamily),
  tenByte(OperationCode.write10, writeFamily),
  twelveByte(OperationCode.write12, writeFamily),
  sixteenByte(OperationCode.write16, writeFamily),
  tenByte(OperationCode.verify10, verifyFamily),
  twelveByte(OperationCode.verify12, verifyFamily),
  sixteenByte(OperationCode.verify16, verifyFamily),
  tenByte(OperationCode.writeAndVerify10, writeAndVerifyFamily),
  twelveByte(OperationCode.writeAndVerify12, writeAndVerifyFamily),
  sixteenByte(OperationCode.writeAndVerify16, writeAndVerifyFamily),
  sixteenByte(OperationCode.orWrite16, orWriteFamily),
  tenByte(OperationCode.synchronizeCache10, synchronizeFamily),
  sixteenByte(OperationCode.synchronizeCache16, synchronizeFamily),
  tenByte(OperationCode.preFetch10, preFetchFamily),
  sixteenByte(OperationCode.preFetch16, preFetchFamily),
]

const { serviceActionIn16 } = OperationCode
const { byte1, byte3, byte4 } = StartStopUsage

const otherCommands: readonly DiskCommand[] = [
  {
    name: "COMPARE AND WRITE",
    opcode: OperationCode.compareAndWrite,
    usage: [OperationCode.compareAndWrite, DPO | FUA, ...all(8), ...none(3), ...all(1), GROUP, 0],
    access: "write",
    execute: compareAndWrite,
  },
  {
    name: "START STOP UNIT",
    opcode: OperationCode.startStopUnit,
    usage: [OperationCode.startStopUnit, byte1, 0, byte3, byte4, 0],
    access: "none",
    execute: startStopUnit,
  },
  {
    name: "READ CAPACITY (10)",
    opcode: OperationCode.readCapacity10,
    usage: [OperationCode.readCapacity10, ...none(9)],
    access: "none",
    execute: readCapacity10,
  },
  {
    name: "READ CAPACITY (16)",
    opcode: serviceActionIn16,
    serviceAction: ServiceActionIn16.readCapacity16,
    usage: [serviceActionIn16, ServiceActionIn16.readCapacity16, ...none(8), ...all(4), 0, 0],
    access: "none",
    execute: readCapacity16,
  },
  {
    name: "GET LBA STATUS",
    opcode: serviceActionIn16,
    serviceAction: ServiceActionIn16.getLbaStatus,
    usage: [serviceActionIn16, ServiceActionIn16.getLbaStatus, ...all(12), 0, 0],
    access: "read",
    execute: getLbaStatus,
  },
]

const writeSameFamily: Family = { name: "WRITE SAME", access: "write", flags: 0, run: writeSame }
const longWriteSame: Family = { ...writeSameFamily, flags: WriteSameBit.noDataOutBuffer }
const thinLongWriteSame: Family = {
  ...writeSameFamily,
  flags: WriteSameBit.unmap | WriteSameBit.noDataOutBuffer,
}

/** WRITE SAME and UNMAP of a fully provisioned unit: nothing can be deallocated (LBPME is 0). */
const thickCommands: readonly DiskCommand[] = [
  tenByte(OperationCode.writeSame10, writeSameFamily),
  sixteenByte(OperationCode.writeSame16, longWriteSame),
]

const thinCommands: readonly DiskCommand[] = [
  tenByte(OperationCode.writeSame10, { ...writeSameFamily, flags: WriteSameBit.unmap }),
  sixteenByte(OperationCode.writeSame16, thinLongWriteSame),
  {
    name: "UNMAP",
    opcode: OperationCode.unmap,
    usage: [OperationCode.unmap, ...none(5), GROUP, ...all(2), 0],
    access: "write",
    execute: unmap,
  },
]

const writeAtomicCommand: DiskCommand = {
  name: "WRITE ATOMIC (16)",
  opcode: OperationCode.writeAtomic16,
  usage: [OperationCode.writeAtomic16, DPO | 0x08, ...all(8), 0, 0, ...all(2), GROUP, 0],
  access: "write",
  execute: writeAtomic,
}

/** What decides which commands a disk knows. */
export interface DiskAbilities {
  readonly thin: boolean
  /** Writes of several blocks can be made atomic. */
  readonly atomicWrites: boolean
  /** It can be sanitized and formatted: what is begun isn't forgotten. */
  readonly renewable: boolean
  /** Its device encrypts, and can be erased by a new key. */
  readonly encrypted?: boolean
  /** It can keep identifying information. */
  readonly identifiable: boolean
  /** Its device keeps protection information of this type. */
  readonly protectionType?: ProtectionType | undefined
}

const lists = new Map<string, readonly Command[]>()

/** The commands of a disk: the same list for the same abilities, so that it is compiled once. */
export function diskCommands({
  thin,
  atomicWrites,
  renewable,
  encrypted = false,
  identifiable,
  protectionType,
}: DiskAbilities): readonly Command[] {
  const key = [thin, atomicWrites, renewable, encrypted, identifiable, protectionType].join()
  let list = lists.get(key)
  if (list === undefined) {
    const renewing = [
      formatUnitCommand,
      ...sanitizeCommands,
      ...(thin ? [blockEraseCommand] : []),
      ...(encrypted ? [cryptographicEraseCommand] : []),
    ]
    list = [
      ...spcCommands,
      ...transferCommands,
      ...otherCommands,
      ...defectCommands,
      ...copyCommands,
      ...(thin ? thinCommands : thickCommands),
      ...(atomicWrites ? [writeAtomicCommand] : []),
      ...(renewable ? renewing : []),
      ...(identifiable ? identifyingInformationCommands : []),
    ]
    if (protectionType !== undefined) list = protectedCommands(list, protectionType, thin)
    lists.set(key, list)
  }
  return list
}
