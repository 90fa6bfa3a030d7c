import { type Completion, isPromise } from "../../base/completion.ts"
import { SanletError } from "../../base/errors.ts"
import {
  TARGET_PORT_GROUP_MAX,
  TARGET_PORT_GROUPS_MAX,
  TARGET_PORTS_PER_GROUP_MAX,
} from "../../base/limits.ts"
import { type AccessState, AccessStatus, type LastingAccessState } from "../spec/access-state.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import { type AccessRestriction, restrictionIn } from "./access-restriction.ts"
import type { Nexus } from "./nexus.ts"

export interface TargetPortGroupOptions {
  /** TARGET PORT GROUP: 1 to TARGET_PORT_GROUP_MAX. */
  readonly id: number
  /** Relative target port identifiers, at least one. */
  readonly ports: readonly number[]
  /** Default: active/optimized. */
  readonly state?: LastingAccessState
  /** PREF: initiators should prefer it. Default: false. */
  readonly preferred?: boolean
}

export interface AccessChange {
  readonly group: number
  readonly state: LastingAccessState
}

type Perform = (changes: readonly AccessChange[]) => Completion

export interface TargetPortGroupsOptions {
  /** Each port is in one of them. */
  readonly groups: readonly TargetPortGroupOptions[]
  /** Initiators may change states: SET TARGET PORT GROUPS. Default: false. */
  readonly explicit?: boolean
  /**
   * Does what a change asked for by an initiator takes; the groups are transitioning until it has. When it fails, they
   * become unavailable. Default: nothing has to be done.
   */
  readonly perform?: Perform
  /** IMPLICIT TRANSITION TIME: how long initiators should be patient with one, 1 to 255 s. Default: it isn't told. */
  readonly transitionSeconds?: number
}

/** Primary target port group (SPC-4 §5.16.2.1). */
export interface TargetPortGroup {
  readonly id: number
  readonly ports: readonly number[]
  readonly preferred: boolean
  readonly state: AccessState
  readonly status: AccessStatus
}

interface Group extends TargetPortGroup {
  state: AccessState
  status: AccessStatus
}

/** Told after each change: what unit attention nexuses get, if any, all but `except`. */
type ChangeListener = (attention: number | undefined, except: Nexus | undefined) => void

/**
 * The target port groups of a SCSI target device, and their asymmetric access states (SPC-4 §5.16.2), which are the same
 * for all of its logical units: together they are one logical unit group.
 *
 *     lasting state --- implicit: set, or transition ---> lasting state     attention: every nexus
 *                   --- explicit: SET TARGET PORT GROUPS ------>            attention: every nexus but that one
 *
 * A change that takes time passes through transitioning.
 */
export class TargetPortGroups {
  readonly groups: readonly TargetPortGroup[]
  readonly explicit: boolean
  /** 0: it isn't told. */
  readonly transitionSeconds: number
  /** Somebody has divided the ports; else there is one group of all. */
  readonly divided: boolean
  readonly #groups: readonly Group[]
  readonly #byPort = new Map<number, Group>()
  readonly #perform: Perform | undefined
  readonly #listeners = new Set<ChangeListener>()

  /** `allPorts`: the ports there are, for the one group that holds them all. Throws SanletError ERR_TARGET_PORT_GROUP. */
  constructor(options: TargetPortGroupsOptions | undefined, allPorts: () => readonly number[]) {
    this.divided = options !== undefined
    this.explicit = options?.explicit ?? false
    this.transitionSeconds = options?.transitionSeconds ?? 0
    this.#perform = options?.perform
    if (options) checkOptions(options)
    this.#groups = options ? options.groups.map(groupOf) : [undivided(allPorts)]
    this.groups = this.#groups
    if (options)
      for (const group of this.#groups) for (const port of group.ports) this.#byPort.set(port, group)
  }

  /** Undefined: the port is in none. */
  ofPort(relativeTargetPort: number): TargetPortGroup | undefined {
    return this.divided ? this.#byPort.get(relativeTargetPort) : this.#groups[0]
  }

  find(id: number): TargetPortGroup | undefined {
    return this.#groups.find((group) => group.id === id)
  }

  /** The target ports there are, of all groups. */
  get portCount(): number {
    return this.#groups.reduce((sum, { ports }) => sum + ports.length, 0)
  }

  restrictionOf(relativeTargetPort: number): AccessRestriction | undefined {
    const group = this.ofPort(relativeTargetPort)
    return group && restrictionIn(group.state)
  }

  /** Returns how to stop listening. */
  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  // ------------------------------------------------------------------------------------------ implicit changes

  /** An implicit change, at once. Throws SanletError ERR_TARGET_PORT_GROUP: no such group, or it is transitioning. */
  set(id: number, state: LastingAccessState): void {
    const group = this.#settled(id)
    if (group.state === state) return
    this.#enter([[group, state]], AccessStatus.implicit)
    this.#announce(Asc.asymmetricAccessStateChanged)
  }

  /**
   * An implicit change that takes the time of `work`: until then the group is transitioning. When it fails the group is
   * what it was, initiators are told so, and the promise rejects with the failure; or with what `set` throws.
   */
  async transition(id: number, state: LastingAccessState, work: () => Promise<void>): Promise<void> {
    const group = this.#settled(id)
    const before = group.state
    this.#enter([[group, "transitioning"]], AccessStatus.implicit)
    this.#announce()
    try {
      await work()
    } catch (error) {
      this.#enter([[group, before]], AccessStatus.implicit)
      this.#announce(Asc.implicitAccessStateTransitionFailed)
      throw error
    }
    this.#enter([[group, state]], AccessStatus.implicit)
    this.#announce(Asc.asymmetricAccessStateChanged)
  }

  #settled(id: number): Group {
    const group = this.#groups.find((one) => one.id === id)
    if (group === undefined) throw wrong(`there is no target port group ${id}`)
    if (group.state === "transitioning") throw wrong(`target port group ${id} is changing its state already`)
    return group
  }

  // ------------------------------------------------------------------------------------------- explicit change

  /**
   * What SET TARGET PORT GROUPS asks for, of groups that exist. Throws (or rejects with) SenseError: NOT READY while
   * another change is under way, HARDWARE ERROR when it failed.
   */
  request(changes: readonly AccessChange[], nexus: Nexus): Completion {
    if (this.#groups.some(({ state }) => state === "transitioning")) {
      throw restrictionIn("transitioning")!.refusal()
    }
    const wanted = new Map<Group, LastingAccessState>()
    for (const { group: id, state } of changes) wanted.set(this.#settled(id), state)
    const moves = [...wanted].filter(([group, state]) => group.state !== state)
    if (moves.length === 0) return
    if (this.#perform === undefined) return this.#arrive(moves, nexus)
    this.#enter(
      moves.map(([group]) => [group, "transitioning"]),
      AccessStatus.explicit,
    )
    this.#announce()
    return this.#carryOut(this.#perform, moves, nexus)
  }

  #carryOut(perform: Perform, moves: readonly Move[], nexus: Nexus): Completion {
    const failed = (error: unknown): never => {
      const unavailable = moves.map(([group]): Move => [group, "unavailable"])
      this.#arrive(unavailable, nexus)
      throw commandFailed(error)
    }
    let performed: Completion
    try {
      performed = perform(moves.map(([{ id }, state]) => ({ group: id, state })))
    } catch (error) {
      return failed(error)
    }
    if (!isPromise(performed)) return this.#arrive(moves, nexus)
    return performed.then(() => this.#arrive(moves, nexus), failed)
  }

  #arrive(moves: readonly Move[], nexus: Nexus): void {
    this.#enter(moves, AccessStatus.explicit)
    this.#announce(Asc.asymmetricAccessStateChanged, nexus)
  }

  #enter(moves: readonly (readonly [Group, AccessState])[], status: AccessStatus): void {
    for (const [group, state] of moves) {
      group.state = state
      group.status = status
    }
  }

  #announce(attention?: number, except?: Nexus): void {
    for (const listener of this.#listeners) listener(attention, except)
  }
}

type Move = readonly [Group, LastingAccessState]

const groupOf = ({ id, ports, state, preferred }: TargetPortGroupOptions): Group => ({
  id,
  ports: ports.toSorted((a, b) => a - b),
  preferred: preferred ?? false,
  state: state ?? "active/optimized",
  status: AccessStatus.none,
})

/** A descriptor counts its ports in one byte; nobody has more portal groups than that. */
const undivided = (allPorts: () => readonly number[]): Group => ({
  id: 1,
  get ports() {
    return allPorts().slice(0, TARGET_PORTS_PER_GROUP_MAX)
  },
  preferred: false,
  state: "active/optimized",
  status: AccessStatus.none,
})

const wrong = (message: string): SanletError => new SanletError("ERR_TARGET_PORT_GROUP", message)

function checkOptions({ groups, transitionSeconds = 0 }: TargetPortGroupsOptions): void {
  const whole = (value: number, min: number, max: number): boolean =>
    Number.isInteger(value) && value >= min && value <= max
  if (!whole(groups.length, 1, TARGET_PORT_GROUPS_MAX)) {
    throw wrong(`there are 1 to ${TARGET_PORT_GROUPS_MAX} target port groups, not ${groups.length}`)
  }
  if (!whole(transitionSeconds, 0, 255)) throw wrong("the transition time is 1 to 255 s, or not told")
  const ids = new Set<number>()
  const taken = new Set<number>()
  for (const { id, ports } of groups) {
    if (!whole(id, 1, TARGET_PORT_GROUP_MAX)) {
      throw wrong(`a target port group has a number from 1 to ${TARGET_PORT_GROUP_MAX}, not ${id}`)
    }
    if (ids.has(id)) throw wrong(`there are two target port groups ${id}`)
    ids.add(id)
    if (!whole(ports.length, 1, TARGET_PORTS_PER_GROUP_MAX)) {
      throw wrong(`target port group ${id} has 1 to ${TARGET_PORTS_PER_GROUP_MAX} ports, not ${ports.length}`)
    }
    for (const port of ports) {
      if (!whole(port, 1, 0xffff)) throw wrong(`${port} is no relative target port identifier`)
      if (taken.has(port)) throw wrong(`port ${port} is in two target port groups`)
      taken.add(port)
    }
  }
}

/** SPC-4 §5.16.2.5. */
const commandFailed = (error: unknown): SenseError =>
  new SenseError(
    SenseKey.hardwareError,
    Asc.setTargetPortGroupsCommandFailed,
    `the change of asymmetric access states failed: ${error instanceof Error ? error.message : String(error)}`,
  )
