import { Turns } from "../../base/turns.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { Command } from "./command.ts"
import type { Nexus } from "./nexus.ts"
import {
  isAllRegistrants,
  isHolder,
  isRegistrantsOnly,
  isWriteExclusive,
  nothingReserved,
  type PersistentState,
} from "./persistent-state.ts"
import { reservationRule } from "./reservation-conflicts.ts"
import type { ReservationStore } from "./reservation-store.ts"

/** What a PERSISTENT RESERVE OUT leaves behind. */
export interface PersistentChange {
  readonly state: PersistentState
  /** What becomes of PRGENERATION (SPC-4 §6.15.2). */
  readonly generation: "kept" | "counted" | "zeroed"
}

/**
 * Who may use a logical unit: the one place the task router asks before a command runs. It knows the RESERVE of SPC-2
 * (§5.5.1), which one nexus holds until it releases it, is lost, or the unit is reset; and the persistent reservation
 * (SPC-4 §5.13), which is a nexus's by its name. There is never both at once.
 */
export class Reservation {
  /** False: nobody is kept from anything, so that there's no need to ask. */
  restricts = false
  /** PRGENERATION: 32 bits. */
  generation = 0
  /** Reservation commands one after the other, each as a whole (SPC-4 §5.13.1). */
  readonly turns = new Turns()
  #holder: Nexus | undefined
  #persistent = nothingReserved
  /** What was reserved isn't known, since it was lost (SPC-4 §5.13.5.3.2). */
  #lost = false
  #store: ReservationStore | undefined
  /** The store may hold something. */
  #keeps = false

  /** Of the RESERVE of SPC-2. */
  get holder(): Nexus | undefined {
    return this.#holder
  }

  get persistent(): PersistentState {
    return this.#persistent
  }

  get lost(): boolean {
    return this.#lost
  }

  /** PTPL_C: APTPL may be asked for. */
  get canOutlivePowerLoss(): boolean {
    return this.#store !== undefined
  }

  /** Takes over what the store has found; once, before there are nexuses. */
  keepIn(store: ReservationStore): void {
    this.#store = store
    this.#keeps = store.found !== undefined
    if (store.found === "lost") this.#lost = true
    else this.#persistent = store.found ?? nothingReserved
    this.#changed()
  }

  /** Whether the command gets RESERVATION CONFLICT. Throws SenseError PERSISTENT RESERVATION INFORMATION LOST. */
  conflicts(nexus: Nexus, command: Command, cdb: Uint8Array): boolean {
    const open = !this.#lost && this.#holder === undefined && this.#isUnrestricted(nexus)
    if (open && command.opcode !== OperationCode.persistentReserveOut) return false
    const { reserved, persistent, whenLost } = reservationRule(command, cdb)
    if (this.#lost) {
      if (whenLost) return false
      throw informationLost()
    }
    if (this.#holder !== undefined) {
      return reserved === "nobody" || (reserved === "holder" && this.#holder !== nexus)
    }
    const { reservation, registrations } = this.#persistent
    if (reservation === undefined || persistent === "all") return false
    if (persistent === "registered") return !registrations.has(nexus.name)
    if (persistent === "holder") return !isHolder(this.#persistent, nexus.name)
    return persistent === "none" || !isWriteExclusive(reservation.type)
  }

  /** By RESERVE. False: it conflicts. */
  reserve(nexus: Nexus): boolean {
    const compatible = this.#compatibly(nexus)
    if (compatible !== undefined) return compatible
    this.#holder ??= nexus
    this.#changed()
    return this.#holder === nexus
  }

  /** By RELEASE; of whoever doesn't hold it nothing happens, as SPC-2 §7.18 wants it. False: it conflicts. */
  release(nexus: Nexus): boolean {
    const compatible = this.#compatibly(nexus)
    if (compatible !== undefined) return compatible
    this.lose(nexus)
    return true
  }

  /** I_T nexus loss: ends its RESERVE. A persistent reservation doesn't mind. */
  lose(nexus: Nexus): void {
    if (this.#holder === nexus) this.clear()
  }

  /** A reset, likewise. */
  clear(): void {
    this.#holder = undefined
    this.#changed()
  }

  /**
   * Puts what `change` gives in the place of what is, when it is as stable as it has to be, in a turn of its own. In the
   * same moment `tell` makes it known. Rejects when it can't be made stable: then nothing has changed.
   */
  async replace(change: PersistentChange, tell: () => void): Promise<void> {
    const { state, generation } = change
    if (state !== this.#persistent && (state.activated || this.#keeps)) {
      this.#keeps = true // also if it fails: nobody knows what is there then
      await this.#store?.save(state.activated ? state : undefined)
      this.#keeps = state.activated
    }
    this.#persistent = state
    if (generation === "zeroed") {
      this.generation = 0
      this.#lost = false
    } else if (generation === "counted") {
      this.generation = (this.generation + 1) >>> 0
    }
    this.#changed()
    tell()
  }

  #changed(): void {
    this.restricts = this.#holder !== undefined || this.#lost || this.#persistent.reservation !== undefined
  }

  #isUnrestricted(nexus: Nexus): boolean {
    const { reservation, registrations } = this.#persistent
    if (reservation === undefined) return true
    const { type, holder } = reservation
    if (isAllRegistrants(type) || isRegistrantsOnly(type)) return registrations.has(nexus.name)
    return holder === nexus.name
  }

  /**
   * What RESERVE and RELEASE of a nexus come to, while somebody is registered: they succeed and do nothing for those
   * whom the persistent reservation doesn't restrict (CRH, SPC-4 §5.13.3), and conflict for all others (SPC-2 §5.5.1).
   */
  #compatibly(nexus: Nexus): boolean | undefined {
    const { registrations, reservation } = this.#persistent
    if (registrations.size === 0) return undefined
    return reservation !== undefined && this.#isUnrestricted(nexus)
  }
}

const informationLost = (): SenseError =>
  new SenseError(
    SenseKey.dataProtect,
    Asc.persistentReservationInformationLost,
    "what was reserved is lost: REPLACE LOST RESERVATION",
  )
