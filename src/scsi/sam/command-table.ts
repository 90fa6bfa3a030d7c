import { SanletError } from "../../base/errors.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import { controlByteAt, NACA } from "./aca.ts"
import type { Command } from "./command.ts"

type Entry = Command | Map<number, Command> | undefined

/** VARIABLE LENGTH CDB (SPC-4 §4.2.3): its service action is in bytes 8 and 9. */
const VARIABLE_LENGTH = 0x7f

export const serviceActionOf = (cdb: Uint8Array): number =>
  cdb[0] === VARIABLE_LENGTH ? (cdb[8]! << 8) | cdb[9]! : cdb[1]! & 0x1f

/** The commands of a logical unit, to be found by CDB. Made once per command table. */
export class CommandTable {
  readonly #entries: Entry[] = new Array<Entry>(256).fill(undefined)
  /** By rising operation code and service action, as REPORT SUPPORTED OPERATION CODES lists them. */
  readonly commands: readonly Command[]

  constructor(commands: readonly Command[]) {
    this.commands = commands.toSorted(
      (a, b) => a.opcode - b.opcode || (a.serviceAction ?? 0) - (b.serviceAction ?? 0),
    )
    for (const command of commands) this.#add(command)
  }

  #add(command: Command): void {
    const { opcode, serviceAction, name } = command
    const entry = this.#entries[opcode]
    if (serviceAction === undefined) {
      if (entry !== undefined) throw taken(name)
      this.#entries[opcode] = command
      return
    }
    if (entry !== undefined && !(entry instanceof Map)) throw taken(name)
    const actions = entry ?? new Map<number, Command>()
    if (actions.has(serviceAction)) throw taken(name)
    this.#entries[opcode] = actions.set(serviceAction, command)
  }

  find(cdb: Uint8Array): Command | undefined {
    const entry = this.#entries[cdb[0]!]
    return entry instanceof Map ? entry.get(serviceActionOf(cdb)) : entry
  }

  /** What is known of an operation code: its only command, or those of its service actions. */
  ofOpcode(opcode: number): Command | ReadonlyMap<number, Command> | undefined {
    return this.#entries[opcode]
  }

  /** Why `find` found nothing. */
  unknown(cdb: Uint8Array): SenseError {
    if (this.#entries[cdb[0]!] === undefined) {
      return new SenseError(
        SenseKey.illegalRequest,
        Asc.invalidCommandOperationCode,
        `operation code ${cdb[0]!.toString(16)}h is not supported`,
        { field: { in: "cdb", byte: 0 } },
      )
    }
    const field =
      cdb[0] === VARIABLE_LENGTH ? { in: "cdb" as const, byte: 8 } : { in: "cdb" as const, byte: 1, bit: 4 }
    return new SenseError(
      SenseKey.illegalRequest,
      Asc.invalidFieldInCdb,
      `service action ${serviceActionOf(cdb).toString(16)}h of operation code ${cdb[0]!.toString(16)}h is not supported`,
      { field },
    )
  }
}

const taken = (name: string): SanletError =>
  new SanletError("ERR_COMMAND_TABLE", `${name}: another command has its operation code and service action`)

const tables = new WeakMap<readonly Command[], CommandTable>()

/** The compiled table of a list of commands; units with the same list share it. Throws SanletError ERR_COMMAND_TABLE. */
export function commandTable(commands: readonly Command[]): CommandTable {
  let table = tables.get(commands)
  if (table === undefined) {
    table = new CommandTable(commands)
    tables.set(commands, table)
  }
  return table
}

/**
 * Throws INVALID FIELD IN CDB for the first bit set that the device server doesn't look at. NACA of the CONTROL byte,
 * which no row names, is taken where there are ACA conditions (SAM-5 §5.2).
 */
export function checkUsage(command: Command, cdb: Uint8Array, unit: { readonly normalAca: boolean }): void {
  const { usage } = command
  for (let byte = 1; byte < usage.length; byte++) {
    if ((cdb[byte]! & ~usage[byte]!) !== 0) refuse(command, cdb, byte, unit)
  }
}

function refuse(
  command: Command,
  cdb: Uint8Array,
  byte: number,
  { normalAca }: { readonly normalAca: boolean },
): void {
  let wrong = cdb[byte]! & ~command.usage[byte]!
  if (normalAca && byte === controlByteAt(cdb[0]!, command)) wrong &= ~NACA
  // Where a service action is part of the row, the row was found by it.
  if (command.serviceAction !== undefined) {
    if (cdb[0] === VARIABLE_LENGTH && (byte === 8 || byte === 9)) return
    if (cdb[0] !== VARIABLE_LENGTH && byte === 1) wrong &= ~0x1f
  }
  if (wrong === 0) return
  throw new SenseError(
    SenseKey.illegalRequest,
    Asc.invalidFieldInCdb,
    `${command.name} does not know bits ${wrong.toString(2).padStart(8, "0")}b of byte ${byte}`,
    { field: { in: "cdb", byte, bit: 31 - Math.clz32(wrong) } },
  )
}
