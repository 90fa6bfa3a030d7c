import { Asc } from "../spec/sense.ts"
import { DeviceType } from "./device-type.ts"
import { ItlNexus } from "./itl-nexus.ts"
import type { LogicalUnitInventory, Nexus } from "./nexus.ts"
import type { Task } from "./task.ts"
import type { TaskSet } from "./task-set.ts"
import { UnitAttentions } from "./unit-attention.ts"

/** What a logical unit keeps for each I_T nexus it is reached through, and whom it tells of what has happened. */
export abstract class NexusKeeper extends DeviceType {
  /** Those for which something is kept. */
  protected readonly itls = new Map<Nexus, ItlNexus>()
  /** The target devices it is part of. */
  readonly #inventories: LogicalUnitInventory[] = []

  /** I_T nexus loss (SAM-5 §6.3.4). Resolves when no media operation of its tasks runs any more. */
  abstract detachNexus(nexus: Nexus): Promise<void>

  /** For the tasks of a new nexus. */
  protected abstract taskSetForNexus(): TaskSet

  /** All there are, with those that haven't come to the unit yet. */
  get nexuses(): Iterable<Nexus> {
    return new Set([...this.#inventories.flatMap((inventory) => [...inventory.nexuses]), ...this.itls.keys()])
  }

  /** It has become part of a target device: its nexuses are this unit's. */
  joinInventory(inventory: LogicalUnitInventory): void {
    this.#inventories.push(inventory)
  }

  leaveInventory(inventory: LogicalUnitInventory): void {
    this.#inventories.splice(this.#inventories.indexOf(inventory), 1)
  }

  /** `attention`: the unit attention the nexus begins with, whatever it has pending elsewhere. */
  attachNexus(nexus: Nexus, attention?: number): void {
    const attentions = new UnitAttentions()
    if (attention !== undefined) attentions.establish(attention)
    this.#keep(new ItlNexus(nexus, attentions, this.taskSetForNexus()))
  }

  #keep(itl: ItlNexus): ItlNexus {
    this.itls.set(itl.nexus, itl)
    itl.nexus.units.add(this)
    return itl
  }

  /**
   * What is kept for a nexus; undefined: it isn't a nexus of this unit. It is made when it's first wanted, so that a
   * login to a target of thousands of units doesn't cost thousands of them. Until then the nexus has here what
   * happened to all units alike: `nexus.attentions`.
   */
  protected itlOf(nexus: Nexus): ItlNexus | undefined {
    const itl = this.itls.get(nexus)
    if (itl !== undefined || nexus.inventory === undefined) return itl
    if (!this.#inventories.includes(nexus.inventory)) return undefined
    return this.#keep(new ItlNexus(nexus, nexus.attentions.copy(), this.taskSetForNexus()))
  }

  taskOf(nexus: Nexus, tag: number): Task | undefined {
    return this.itls.get(nexus)?.tasks.get(tag)
  }

  tasksOf(nexus: Nexus): Task[] {
    return [...(this.itls.get(nexus)?.tasks.values() ?? [])]
  }

  /**
   * A unit attention condition for every nexus but `except`. `besides`: a target device that sees itself to those of its
   * nexuses for which nothing is kept here yet.
   */
  establishUnitAttention(
    asc: number,
    options: { except?: Nexus | undefined; besides?: LogicalUnitInventory | undefined } = {},
  ): void {
    for (const inventory of this.#inventories) {
      if (inventory !== options.besides) for (const nexus of inventory.nexuses) this.itlOf(nexus)
    }
    for (const itl of this.itls.values()) {
      if (itl.nexus !== options.except) itl.attentions.establish(asc)
    }
  }

  /** A unit attention condition for one nexus. */
  establishUnitAttentionFor(nexus: Nexus, asc: number): void {
    this.itlOf(nexus)?.attentions.establish(asc)
  }

  clearUnitAttention(nexus: Nexus, asc: number): void {
    this.itlOf(nexus)?.attentions.clear(asc)
  }

  /**
   * Takes the next unit attention of a nexus, to be reported. REPORTED LUNS DATA HAS CHANGED is then over on the other
   * units too: it is said once per nexus (LUICLR of VPD page 86h).
   */
  takeUnitAttention(nexus: Nexus): number | undefined {
    const asc = this.itlOf(nexus)?.attentions.take()
    if (asc === Asc.reportedLunsDataHasChanged) nexus.inventory?.clearUnitAttention(nexus, asc)
    return asc
  }
}
