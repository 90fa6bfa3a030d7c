import { accessStateCodes } from "../../scsi/spec/access-state.ts"
import type { TargetConfiguration } from "./schema.ts"

/** Whether a target is reached through the portals of a group: of all, unless it names some. */
export function isIn({ portalGroups, alua }: TargetConfiguration, group: number): boolean {
  const named = portalGroups ?? alua?.groups.flatMap((one) => one.portalGroups)
  return named?.includes(group) ?? true
}

/** Orders portal groups by what initiators get through them at the start, the best first. */
export const byAccess =
  ({ alua }: TargetConfiguration) =>
  (a: number, b: number): number => {
    const rank = (group: number): number => {
      const state = alua?.groups.find(({ portalGroups }) => portalGroups.includes(group))?.state
      return accessStateCodes[state ?? "active/optimized"]
    }
    return rank(a) - rank(b)
  }
