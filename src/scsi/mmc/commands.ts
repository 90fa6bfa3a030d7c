import type { Command } from "../sam/command.ts"
import { diskCommands } from "../sbc/commands.ts"
import { spcCommands } from "../spc/index.ts"
import { OperationCode } from "../spec/operation-code.ts"
import type { CdUnit } from "./cd-unit.ts"
import { readDiscInformation, readTrackInformation } from "./disc-information.ts"
import { readDiscStructure } from "./disc-structure.ts"
import { getPerformance, mechanismStatus, setCdSpeed, setStreaming } from "./drive.ts"
import { getEventStatusNotification } from "./event-status.ts"
import { getConfiguration } from "./get-configuration.ts"
import { readCd, readCdMsf } from "./read-cd.ts"
import { ATAPI_FORMAT, MSF, readTocPmaAtip } from "./toc.ts"

const ALL = 0xff

/** What a drive does as a disk does. */
const shared: ReadonlySet<number> = new Set([
  OperationCode.startStopUnit,
  OperationCode.readCapacity10,
  OperationCode.read10,
  OperationCode.read12,
  OperationCode.verify10,
])

const plain = { thin: false, atomicWrites: false, renewable: false, identifiable: false }

/** `usage` is what follows the operation code. */
const row = (
  name: string,
  opcode: number,
  access: Command["access"],
  usage: readonly number[],
  execute: Command<CdUnit>["execute"],
): Command<CdUnit> => ({ name, opcode, access, usage: [opcode, ...usage], execute })

const O = OperationCode

const tenByte: readonly Command<CdUnit>[] = [
  row(
    "READ TOC/PMA/ATIP",
    O.readTocPmaAtip,
    "none",
    [MSF, 0x0f, 0, 0, 0, ALL, ALL, ALL, ATAPI_FORMAT],
    readTocPmaAtip,
  ),
  {
    ...row(
      "GET CONFIGURATION",
      O.getConfiguration,
      "none",
      [0x03, ALL, ALL, 0, 0, 0, ALL, ALL, 0],
      getConfiguration,
    ),
    passesUnitAttention: true,
  },
  {
    ...row(
      "GET EVENT STATUS NOTIFICATION",
      O.getEventStatusNotification,
      "none",
      [0x01, 0, 0, ALL, 0, 0, ALL, ALL, 0],
      getEventStatusNotification,
    ),
    passesUnitAttention: true,
  },
  row(
    "READ DISC INFORMATION",
    O.readDiscInformation,
    "none",
    [0x07, 0, 0, 0, 0, 0, ALL, ALL, 0],
    readDiscInformation,
  ),
  row(
    "READ TRACK INFORMATION",
    O.readTrackInformation,
    "none",
    [0x03, ALL, ALL, ALL, ALL, 0, ALL, ALL, 0],
    readTrackInformation,
  ),
]

const twelveByte: readonly Command<CdUnit>[] = [
  row(
    "GET PERFORMANCE",
    O.getPerformance,
    "none",
    [0x1f, ALL, ALL, ALL, ALL, 0, 0, ALL, ALL, ALL, 0],
    getPerformance,
  ),
  row(
    "READ DISC STRUCTURE",
    O.readDiscStructure,
    "none",
    [0x0f, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, 0xc0, 0],
    readDiscStructure,
  ),
  row("SET STREAMING", O.setStreaming, "none", [0, 0, 0, 0, 0, 0, 0, ALL, ALL, ALL, 0], setStreaming),
  row("READ CD MSF", O.readCdMsf, "read", [0x1e, 0, ALL, ALL, ALL, ALL, ALL, ALL, 0xf8, 0, 0], readCdMsf),
  row("SET CD SPEED", O.setCdSpeed, "none", [0x03, ALL, ALL, ALL, ALL, 0, 0, 0, 0, 0, 0], setCdSpeed),
  row("MECHANISM STATUS", O.mechanismStatus, "none", [0, 0, 0, 0, 0, 0, 0, ALL, ALL, 0, 0], mechanismStatus),
  row("READ CD", O.readCd, "read", [0x1e, ALL, ALL, ALL, ALL, ALL, ALL, ALL, 0xf8, 0, 0], readCd),
]

/** The commands of a CD-ROM drive: those mandatory for its features, and of disks those that MMC-6 has, too. */
export const cdCommands: readonly Command[] = [
  ...spcCommands,
  ...diskCommands(plain).filter(({ opcode }) => shared.has(opcode)),
  ...tenByte,
  ...twelveByte,
]
