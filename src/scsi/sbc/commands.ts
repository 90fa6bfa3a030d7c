import type { Completion } from "../../base/completion.ts"
import type { Command } from "../sam/command.ts"
import type { Task } from "../sam/task.ts"
import { preFetch, synchronizeCache } from "./cache.ts"
import { readCapacity10, readCapacity16 } from "./capacity.ts"
import { compareAndWrite, orWrite } from "./compare-and-write.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { u16At, u32At, u64At } from "./fields.ts"
import { getLbaStatus } from "./lba-status.ts"
import { read, write } from "./read-write.ts"
import { StartStopUsage, startStopUnit } from "./start-stop.ts"
import { unmap } from "./unmap.ts"
import { verify, writeAndVerify } from "./verify.ts"
import { WriteSameFlag, writeSame } from "./write-same.ts"

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

/** GROUP NUMBER is accepted and ignored: there is no grouping function (SBC-3 §4.22). */
const GROUP = 0x1f
const ALL = 0xff
const DPO = 0x10
const FUA = 0x08 | 0x02 // with FUA_NV
const BYTCHK = 0x06

/** The 6-byte CDB has a 21-bit LBA, and 0 stands for 256 blocks (SBC-3 §5.8, 5.27). */
const sixByte = (opcode: number, { name, access, run }: Family): DiskCommand => ({
  name: `${name} (6)`,
  opcode,
  usage: [opcode, 0x1f, ALL, ALL, ALL, 0],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    return run(task, unit, ((cdb[1]! & 0x1f) << 16) | u16At(cdb, 2), cdb[4]! || 256, 0)
  },
})

const tenByte = (opcode: number, { name, access, flags, run }: Family): DiskCommand => ({
  name: `${name} (10)`,
  opcode,
  usage: [opcode, flags, ALL, ALL, ALL, ALL, GROUP, ALL, ALL, 0],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    return run(task, unit, u32At(cdb, 2), u16At(cdb, 7), cdb[1]!)
  },
})

const twelveByte = (opcode: number, { name, access, flags, run }: Family): DiskCommand => ({
  name: `${name} (12)`,
  opcode,
  usage: [opcode, flags, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, GROUP, 0],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    return run(task, unit, u32At(cdb, 2), u32At(cdb, 6), cdb[1]!)
  },
})

const sixteenByte = (opcode: number, { name, access, flags, run }: Family): DiskCommand => ({
  name: `${name} (16)`,
  opcode,
  usage: [opcode, flags, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, GROUP, 0],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    return run(task, unit, u64At(cdb, 2), u32At(cdb, 10), cdb[1]!)
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
  sixByte(0x08, readFamily),
  tenByte(0x28, readFamily),
  twelveByte(0xa8, readFamily),
  sixteenByte(0x88, readFamily),
  sixByte(0x0a, writeFamily),
  tenByte(0x2a, writeFamily),
  twelveByte(0xaa, writeFamily),
  sixteenByte(0x8a, writeFamily),
  tenByte(0x2f, verifyFamily),
  twelveByte(0xaf, verifyFamily),
  sixteenByte(0x8f, verifyFamily),
  tenByte(0x2e, writeAndVerifyFamily),
  twelveByte(0xae, writeAndVerifyFamily),
  sixteenByte(0x8e, writeAndVerifyFamily),
  sixteenByte(0x8b, orWriteFamily),
  tenByte(0x35, synchronizeFamily),
  sixteenByte(0x91, synchronizeFamily),
  tenByte(0x34, preFetchFamily),
  sixteenByte(0x90, preFetchFamily),
]

const SERVICE_ACTION_IN_16 = 0x9e

const otherCommands: readonly DiskCommand[] = [
  {
    name: "COMPARE AND WRITE",
    opcode: 0x89,
    usage: [0x89, DPO | FUA, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, 0, 0, 0, ALL, GROUP, 0],
    access: "write",
    execute: compareAndWrite,
  },
  {
    name: "START STOP UNIT",
    opcode: 0x1b,
    usage: [0x1b, StartStopUsage.byte1, 0, StartStopUsage.byte3, StartStopUsage.byte4, 0],
    access: "none",
    execute: startStopUnit,
  },
  {
    name: "READ CAPACITY (10)",
    opcode: 0x25,
    usage: [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    access: "none",
    execute: readCapacity10,
  },
  {
    name: "READ CAPACITY (16)",
    opcode: SERVICE_ACTION_IN_16,
    serviceAction: 0x10,
    usage: [SERVICE_ACTION_IN_16, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, ALL, ALL, ALL, ALL, 0, 0],
    access: "none",
    execute: readCapacity16,
  },
  {
    name: "GET LBA STATUS",
    opcode: SERVICE_ACTION_IN_16,
    serviceAction: 0x12,
    usage: [SERVICE_ACTION_IN_16, 0x12, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, 0, 0],
    access: "read",
    execute: getLbaStatus,
  },
]

const writeSameFamily: Family = { name: "WRITE SAME", access: "write", flags: 0, run: writeSame }

/** WRITE SAME and UNMAP of a fully provisioned unit: nothing can be deallocated (LBPME is 0). */
const thickCommands: readonly DiskCommand[] = [
  tenByte(0x41, writeSameFamily),
  sixteenByte(0x93, { ...writeSameFamily, flags: WriteSameFlag.noDataOutBuffer }),
]

const thinCommands: readonly DiskCommand[] = [
  tenByte(0x41, { ...writeSameFamily, flags: WriteSameFlag.unmap }),
  sixteenByte(0x93, { ...writeSameFamily, flags: WriteSameFlag.unmap | WriteSameFlag.noDataOutBuffer }),
  {
    name: "UNMAP",
    opcode: 0x42,
    usage: [0x42, 0, 0, 0, 0, 0, GROUP, ALL, ALL, 0],
    access: "write",
    execute: unmap,
  },
]

const thick: readonly DiskCommand[] = [...transferCommands, ...otherCommands, ...thickCommands]
const thin: readonly DiskCommand[] = [...transferCommands, ...otherCommands, ...thinCommands]

/** What SBC-3 adds to the commands of every logical unit: the same list each time, so that it is compiled once. */
export const diskCommands = (isThin: boolean): readonly DiskCommand[] => (isThin ? thin : thick)
