import { SanletError } from "../../../base/errors.ts"
import type { Command } from "../../sam/command.ts"
import { OperationCode } from "../../spec/operation-code.ts"
import { encodeSense, type ForwardedSense, SenseError } from "../../spec/sense.ts"
import { Status } from "../../spec/status.ts"
import type { DiskUnit } from "../disk-unit.ts"
import type { CopyOperation } from "./operation.ts"

type Role = ForwardedSense["from"]

/** What a source or a destination of a copy has answered: its own sense, or RESERVATION CONFLICT. */
export class CopyEndError extends SanletError {
  readonly role: Role
  readonly sense: SenseError | undefined

  constructor(role: Role, sense?: SenseError) {
    super("ERR_COPY_END", sense?.message ?? "another nexus holds a reservation")
    this.role = role
    this.sense = sense
  }

  get forwarded(): ForwardedSense {
    const { role: from, sense } = this
    if (sense === undefined) return { from, status: Status.reservationConflict, sense: new Uint8Array(0) }
    return { from, status: Status.checkCondition, sense: encodeSense(sense, "fixed") }
  }
}

/**
 * One end of a copy. Each access asks anew what a READ or WRITE of the operation's nexus would be asked: reservation,
 * readiness, write protection, capacity. What fails rejects with CopyEndError, unless the operation was aborted.
 */
export class CopyEnd {
  readonly unit: DiskUnit
  readonly role: Role
  readonly #operation: CopyOperation
  readonly #row: Command
  /** Of a READ or WRITE, of nothing in particular: the tables of reservations look at its operation code. */
  readonly #cdb = new Uint8Array(16)

  constructor(unit: DiskUnit, role: Role, operation: CopyOperation) {
    this.unit = unit
    this.role = role
    this.#operation = operation
    const opcode = role === "source" ? OperationCode.read16 : OperationCode.write16
    this.#row = unit.commandTable.ofOpcode(opcode) as Command
    this.#cdb[0] = opcode
    operation.visit(unit)
  }

  read(offsetBytes: number, into: Uint8Array): Promise<void> {
    return this.attempt(offsetBytes, into.length, () =>
      this.unit.medium.read(offsetBytes, into, this.#operation),
    )
  }

  write(offsetBytes: number, from: Uint8Array): Promise<void> {
    return this.attempt(offsetBytes, from.length, () =>
      this.unit.medium.write(offsetBytes, from, false, this.#operation),
    )
  }

  /** Makes whole blocks zeroes, which take no storage where the unit is thin. */
  zero(offsetBytes: number, lengthBytes: number): Promise<void> {
    const { medium, thin } = this.unit
    return this.attempt(offsetBytes, lengthBytes, () =>
      thin
        ? medium.discard(offsetBytes, lengthBytes, this.#operation)
        : medium.writeZeroes(offsetBytes, lengthBytes, this.#operation),
    )
  }

  /** Whether there is no storage behind whole blocks: then they are zeroes. */
  isHole(offsetBytes: number, lengthBytes: number): Promise<boolean> {
    return this.#asked(offsetBytes, lengthBytes, async () => {
      const [first] = await this.unit.medium.extents(offsetBytes, lengthBytes, 1)
      return first !== undefined && !first.allocated && first.lengthBytes >= lengthBytes
    })
  }

  /** An access to whole blocks. */
  async attempt<T>(offsetBytes: number, lengthBytes: number, access: () => T | Promise<T>): Promise<T> {
    const result = await this.#asked(offsetBytes, lengthBytes, access)
    this.#operation.transfers++
    return result
  }

  async #asked<T>(offsetBytes: number, lengthBytes: number, access: () => T | Promise<T>): Promise<T> {
    try {
      this.#operation.throwIfAborted()
      this.#check(offsetBytes, lengthBytes)
      return await access()
    } catch (error) {
      this.#operation.throwIfAborted()
      throw error instanceof SenseError ? new CopyEndError(this.role, error) : error
    }
  }

  #check(offsetBytes: number, lengthBytes: number): void {
    const { unit } = this
    const { reservation } = unit
    if (reservation.restricts && reservation.conflicts(this.#operation.nexus, this.#row, this.#cdb))
      throw new CopyEndError(this.role)
    if (this.role === "destination") unit.checkWritable()
    else unit.checkReady()
    unit.checkRange(offsetBytes / unit.blockBytes, lengthBytes / unit.blockBytes)
  }
}
