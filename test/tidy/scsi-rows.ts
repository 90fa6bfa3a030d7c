/** What the SCSI engine knows, by its own tables: docs/spec-map.md has a row for each, and for nothing else. */
import { ProtectedStore, MemoryStore } from "../../src/backstore/index.ts"
import type { LogicalUnit } from "../../src/scsi/sam/logical-unit.ts"
import { IncorrectUnit } from "../../src/scsi/sam/incorrect-unit.ts"
import { VolatileRecords } from "../../src/scsi/sam/unit-records.ts"
import { CdUnit } from "../../src/scsi/mmc/cd-unit.ts"
import { DiskUnit, type DiskUnitOptions } from "../../src/scsi/sbc/disk-unit.ts"
import * as codes from "../../src/scsi/spec/operation-code.ts"
import { ascText } from "../../src/scsi/spec/sense-text.ts"
import { Asc } from "../../src/scsi/spec/sense.ts"
import { Status } from "../../src/scsi/spec/status.ts"

/** Something the engine knows. */
export interface Known {
  /** As the document writes it: "28h", "9Eh/10h", "24h/00h". */
  readonly code: string
  /** As the standard calls it. Absent: the code's tables have no name for it. */
  readonly name?: string
  /** Kinds of logical unit that have it. */
  readonly on?: string
  /** What a test that shows it has in its code. */
  readonly shownBy: RegExp
  /** What the code that does it has. Absent: any may do. */
  readonly doneBy?: RegExp
}

const bytes = (value: number, digits = 2): string =>
  `${value.toString(16).toUpperCase().padStart(digits, "0")}h`
const literal = (value: number, digits = 2): string => `0x${value.toString(16).padStart(digits, "0")}`
const quoted = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")

const disk = (options: DiskUnitOptions, device = new MemoryStore({ sizeBytes: 1 << 20 })): DiskUnit =>
  new DiskUnit(device, { records: new VolatileRecords(), ...options })

/** Units of every kind there is, with all that can be had: of a disk, thin and not, with protection information and without. */
async function unitsByKind(): Promise<readonly (readonly [kind: string, units: readonly LogicalUnit[]])[]> {
  const below = new MemoryStore({ sizeBytes: 1 << 20 })
  const protectedDevice = await ProtectedStore.open(below, { type: 2, blockBytes: 512 })
  const disks = [
    disk({}),
    disk({ thin: false }),
    new DiskUnit(protectedDevice, { records: new VolatileRecords() }),
  ]
  const cd = new CdUnit(undefined)
  const none = new IncorrectUnit({ vendor: "", product: "", revision: "", serial: "", designators: [] })
  for (const unit of [...disks, cd]) unit.release()
  return [
    ["disk", disks],
    ["CD", [cd]],
    ["no unit", [none]],
  ]
}

interface Row {
  readonly key: number
  readonly known: Omit<Known, "on">
}

async function gathered(rowsOf: (unit: LogicalUnit) => Row[]): Promise<Known[]> {
  const all = new Map<number, { known: Omit<Known, "on">; on: Set<string> }>()
  for (const [kind, units] of await unitsByKind()) {
    for (const { key, known } of units.flatMap(rowsOf)) {
      const entry = all.get(key) ?? { known, on: new Set() }
      entry.on.add(kind)
      all.set(key, entry)
    }
  }
  const inOrder = [...all].sort(([a], [b]) => a - b)
  return inOrder.map(([, { known, on }]) => ({ ...known, on: [...on].join(", ") }))
}

const serviceActions: ReadonlyMap<number, Readonly<Record<string, number>>> = new Map<
  number,
  Readonly<Record<string, number>>
>([
  [codes.OperationCode.serviceActionIn16, codes.ServiceActionIn16],
  [codes.OperationCode.persistentReserveIn, codes.PersistentReserveIn],
  [codes.OperationCode.persistentReserveOut, codes.PersistentReserveOut],
  [codes.OperationCode.thirdPartyCopyOut, codes.ThirdPartyCopyOut],
  [codes.OperationCode.thirdPartyCopyIn, codes.ThirdPartyCopyIn],
  [codes.OperationCode.maintenanceIn, codes.MaintenanceIn],
  [codes.OperationCode.maintenanceOut, codes.MaintenanceOut],
  [codes.OperationCode.variableLength, codes.VariableLength],
  [codes.OperationCode.sanitize, codes.SanitizeAction],
])

/** The constant a command has in spec/operation-code.ts; builders of its CDB are called the same. */
function constantOf(opcode: number, serviceAction: number | undefined): string {
  const table: Readonly<Record<string, number>> =
    serviceAction === undefined ? codes.OperationCode : (serviceActions.get(opcode) ?? {})
  const found = Object.entries(table).find(([, value]) => value === (serviceAction ?? opcode))
  if (found === undefined) throw new Error(`operation code ${bytes(opcode)} has no constant`)
  return found[0]
}

/** A command is shown by its constant, its builder, or the first bytes of its CDB where a list of bytes begins. */
export const commands = (): Promise<Known[]> =>
  gathered(({ commands }) =>
    commands.map(({ name, opcode, serviceAction }) => {
      const action = serviceAction === undefined ? "" : `, (?:[^()]*, )?${literal(serviceAction)}`
      const digits = opcode === codes.OperationCode.variableLength ? 4 : 2
      return {
        key: opcode * 0x1_0000 + (serviceAction ?? 0),
        known: {
          name,
          code:
            serviceAction === undefined ? bytes(opcode) : `${bytes(opcode)}/${bytes(serviceAction, digits)}`,
          shownBy: new RegExp(
            `\\b${constantOf(opcode, serviceAction)}\\b|[([,:]\\s*${literal(opcode)}${action}\\b`,
          ),
          doneBy: new RegExp(quoted(name.replace(/ \(.*\)$|^.*, /g, ""))),
        },
      }
    }),
  )

/** A page is shown by its code, given to a call or standing in a list. */
const pageRow = (code: number, subpage = 0): Row => ({
  key: code * 256 + subpage,
  known: {
    code: subpage === 0 ? bytes(code) : `${bytes(code)}/${bytes(subpage)}`,
    shownBy: new RegExp(`[([,:]\\s*${literal(code)}(?=[,)\\]\\s])`),
    doneBy: new RegExp(`\\b${literal(code)}\\b`),
  },
})

export const vpdPages = (): Promise<Known[]> =>
  gathered(({ vpdPages }) => vpdPages.map(({ code }) => pageRow(code)))

export const modePages = (): Promise<Known[]> =>
  gathered(({ modePages }) => modePages.map(({ code, subpage }) => pageRow(code, subpage)))

/** Pages 00h and 00h/FFh, which list the others, are in nobody's table. */
export const logPages = (): Promise<Known[]> =>
  gathered(({ logPages }) =>
    logPages.length === 0
      ? []
      : [pageRow(0), pageRow(0, 0xff), ...logPages.map(({ code, subpage }) => pageRow(code, subpage))],
  )

/** In the order of their codes. Tests have the constant, its number, or the end of "5/2604". */
export const senses: readonly Known[] = Object.entries(Asc)
  .sort(([, a], [, b]) => a - b)
  .map(([constant, asc]) => ({
    code: `${bytes(asc >> 8)}/${bytes(asc & 0xff)}`,
    name: ascText(asc),
    shownBy: new RegExp(`\\bAsc\\.${constant}\\b|\\b${literal(asc, 4)}\\b|/${literal(asc, 4).slice(2)}"`),
    doneBy: new RegExp(`\\bAsc\\.${constant}\\b`),
  }))

export const statuses: readonly Known[] = Object.entries(Status).map(([constant, status]) => ({
  code: bytes(status),
  name: constant.replace(/[A-Z]/g, (letter) => ` ${letter}`).toUpperCase(),
  shownBy: new RegExp(`\\bStatus\\.${constant}\\b`),
  doneBy: new RegExp(`\\bStatus\\.${constant}\\b`),
}))
