import { SanletError } from "../base/errors.ts"
import type {
  AccessChange,
  TargetPortGroupOptions,
  TargetPortGroupsOptions,
} from "../scsi/sam/target-port-groups.ts"
import type { LastingAccessState } from "../scsi/spec/access-state.ts"

/** Portal groups that always have the same asymmetric access state. */
export interface AluaGroupOptions {
  /** TARGET PORT GROUP, 1 to 65534. Default: its place in the list, from 1 on. */
  readonly id?: number
  /** Portal group tags; each is a target port, and in one group only. */
  readonly portalGroups: readonly number[]
  /** Default: active/optimized. */
  readonly state?: LastingAccessState
  /** Initiators should prefer it, whatever its state. */
  readonly preferred?: boolean
}

/** Asymmetric logical unit access (SPC-4 §5.16): see TargetPortGroupsOptions. */
export interface AluaOptions {
  readonly groups: readonly AluaGroupOptions[]
  readonly explicit?: boolean
  readonly perform?: (changes: readonly AccessChange[]) => void | Promise<void>
  readonly transitionSeconds?: number
}

/** A target port group, for people. */
export interface AluaGroupInfo {
  readonly id: number
  readonly portalGroups: readonly number[]
  readonly state: LastingAccessState | "transitioning"
  readonly preferred: boolean
}

/** The SCSI target port of a session is its portal group (RFC 7143 §4.4.1): its tag is the relative target port identifier. */
export function portGroupsOf({ groups, ...rest }: AluaOptions): TargetPortGroupsOptions {
  const numbered = groups.map(({ portalGroups, ...group }, i): TargetPortGroupOptions => {
    return { ...group, id: group.id ?? i + 1, ports: portalGroups }
  })
  return { ...rest, groups: numbered }
}

/**
 * The portal groups a target is reached through: where it has target port groups, those in one of them. Throws SanletError
 * ERR_TARGET_PORT_GROUP when it is said to be reached through others.
 */
export function reachedThrough(
  portalGroups: readonly number[] | undefined,
  alua: AluaOptions | undefined,
): ReadonlySet<number> | undefined {
  const named = portalGroups && new Set(portalGroups)
  if (alua === undefined) return named
  const grouped = new Set(alua.groups.flatMap((group) => group.portalGroups))
  const odd = [...(named ?? grouped)].find((tag) => !grouped.has(tag))
  if (odd !== undefined) throw wrong(`portal group ${odd} is in no target port group`)
  const far = [...grouped].find((tag) => named?.has(tag) === false)
  if (far !== undefined)
    throw wrong(`portal group ${far} is in a target port group, but isn't among portalGroups`)
  return grouped
}

const wrong = (message: string): SanletError => new SanletError("ERR_TARGET_PORT_GROUP", message)
