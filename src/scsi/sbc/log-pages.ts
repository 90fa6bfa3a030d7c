import { EXTENTS_MAX } from "../../base/limits.ts"
import { putU32 } from "../cdb/fields.ts"
import type { CommandTimes } from "../sam/command-times.ts"
import type { ListParameter, LogCounter, LogPage } from "../sam/log-page.ts"
import type { Task } from "../sam/task.ts"
import { spcLogPages } from "../spc/index.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { throwIfAborted } from "./medium.ts"

const binary = (code: number, value: Uint8Array): ListParameter => ({ code, value })

const USED_LBA_MAPPING_RESOURCES = 0x0002
/** SCOPE: what the unit uses is its own. */
const DEDICATED = 0x01

/**
 * Logical Block Provisioning (SBC-3 §6.4): the blocks that have storage. How much there is left is up to whoever else
 * writes to the same filesystem: it isn't told.
 */
const logicalBlockProvisioningPage: LogPage<DiskUnit> = {
  code: 0x0c,
  isSupported: ({ thin, device }) => thin && device.features.extents,
  list: async (unit, task) => {
    const value = new Uint8Array(8)
    const sets = Math.ceil((await usedBlocks(unit, task)) / 2 ** unit.thresholdExponent)
    putU32(value, 0, sets)
    value[4] = DEDICATED
    return [binary(USED_LBA_MAPPING_RESOURCES, value)]
  },
}

/** Asks for all extents, EXTENTS_MAX at a time. */
async function usedBlocks(unit: DiskUnit, task: Task): Promise<number> {
  const total = unit.blocks * unit.blockBytes
  let usedBytes = 0
  for (let at = 0; at < total; ) {
    throwIfAborted(task)
    const extents = await unit.medium.extents(at, total - at, EXTENTS_MAX)
    for (const { lengthBytes, allocated } of extents) if (allocated) usedBytes += lengthBytes
    const last = extents.at(-1)
    if (last === undefined) break
    at = last.offsetBytes + last.lengthBytes
  }
  return Math.ceil(usedBytes / unit.blockBytes)
}

/** Start-Stop Cycle Counter (SPC-4 §7.3): the cycles since the unit is there. It wasn't made, and doesn't wear. */
const startStopCyclesPage: LogPage<DiskUnit> = {
  code: 0x0e,
  list: ({ counters }) => {
    const value = new Uint8Array(4)
    putU32(value, 0, Math.min(counters.stops, 0xffff_ffff))
    return [binary(0x0004, value)]
  },
}

const counter = (count: LogCounter<DiskUnit>["count"]): LogCounter<DiskUnit> => ({ bytes: 8, count })
const notKept = counter(() => 0)
/** One interval is 10 to the power of -6 seconds. */
const INTERVAL = { exponent: 6, integer: 1, perMs: 1000 } as const
const interval = (ms: (times: CommandTimes) => number): LogCounter<DiskUnit> =>
  counter(({ times }) => (times === undefined ? 0 : Math.floor(ms(times) * INTERVAL.perMs)))
const IDLE_TIME = 0x0002
const TIME_INTERVAL = 0x0003

function timeInterval(): ListParameter {
  const value = new Uint8Array(8)
  putU32(value, 0, INTERVAL.exponent)
  putU32(value, 4, INTERVAL.integer)
  return binary(TIME_INTERVAL, value)
}

/**
 * General Statistics and Performance (SPC-4 §7.3.6). Times are measured from when somebody first asks for them, since that costs
 * every command. Weights are 0: there are no command priorities. READ (6) and WRITE (6), which SPC-4 has forgotten, count as well.
 */
const statisticsPage: LogPage<DiskUnit> = {
  code: 0x19,
  counters: [
    {
      code: 0x0001,
      bounded: false,
      counters: [
        counter(({ counters }) => counters.readCommands),
        counter(({ counters }) => counters.writeCommands),
        counter(({ counters, blockBytes }) => Math.floor(counters.writtenBytes / blockBytes)),
        counter(({ counters, blockBytes }) => Math.floor(counters.readBytes / blockBytes)),
        interval((times) => times.readMs),
        interval((times) => times.writeMs),
        notKept,
        notKept,
      ],
    },
    { code: IDLE_TIME, bounded: false, counters: [interval((times) => times.idleMs)] },
  ],
  list: (unit) => {
    unit.measureTimes()
    return [timeInterval()]
  },
}

/** The log pages of a disk, by rising code. */
export const diskLogPages: readonly LogPage[] = (
  [...spcLogPages, logicalBlockProvisioningPage, startStopCyclesPage, statisticsPage] as LogPage[]
).toSorted((a, b) => a.code - b.code)
