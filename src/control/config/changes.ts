import { ChapSecret } from "../../iscsi/login/chap.ts"
import type { LastingAccessState } from "../../scsi/spec/access-state.ts"
import type { DeviceConfiguration } from "./device.ts"
import type { Configuration, LogicalUnitConfiguration, TargetConfiguration } from "./schema.ts"

/** Something to do for what is served to become what is wanted. Every but the last can be done while initiators are logged in. */
export type ConfigurationChange =
  /** Another medium, or none, in a drive or a removable disk. */
  | { readonly kind: "medium"; readonly target: string; readonly unit: LogicalUnitConfiguration }
  /** A file that grows. */
  | {
      readonly kind: "size"
      readonly target: string
      readonly unit: LogicalUnitConfiguration
      readonly sizeBytes: number
    }
  | { readonly kind: "new unit"; readonly target: string; readonly unit: LogicalUnitConfiguration }
  | {
      readonly kind: "access state"
      readonly target: string
      readonly group: number
      readonly state: LastingAccessState
    }
  /** Told by its place in the file, as `luns[0].serial`. */
  | { readonly kind: "restart"; readonly target?: string; readonly what: string }

/** What it takes to get from one configuration to another, in the order it can be done: media come out before others go in. */
export function changesBetween(running: Configuration, wanted: Configuration): ConfigurationChange[] {
  const changes = (["portals", "discovery", "log"] as const)
    .filter((key) => !same(running[key], wanted[key]))
    .map((what): ConfigurationChange => ({ kind: "restart", what }))
  for (const target of wanted.targets) {
    const before = running.targets.find(({ name }) => name === target.name)
    if (before) changes.push(...targetChanges(before, target))
    else changes.push({ kind: "restart", target: target.name, what: "a new target" })
  }
  for (const { name } of running.targets) {
    if (wanted.targets.some((target) => target.name === name)) continue
    changes.push({ kind: "restart", target: name, what: "a target that is no more" })
  }
  return changes.sort((a, b) => order(a) - order(b))
}

/** Storage is let go of before others take it. */
const order = (change: ConfigurationChange): number =>
  change.kind === "restart" || (change.kind === "medium" && change.unit.device === undefined) ? 0 : 1

/** The configuration after a change was made. */
export function withChange(configuration: Configuration, change: ConfigurationChange): Configuration {
  if (change.kind === "restart") return configuration
  const changed = (target: TargetConfiguration): TargetConfiguration => {
    if (target.name !== change.target) return target
    if (change.kind === "access state") return withAccessState(target, change.group, change.state)
    const { unit } = change
    if (change.kind === "new unit") return { ...target, luns: [...target.luns, unit] }
    return { ...target, luns: target.luns.map((one) => (one.lun === unit.lun ? withDevice(one, unit) : one)) }
  }
  return { ...configuration, targets: configuration.targets.map(changed) }
}

function withDevice(
  { device: _, ...unit }: LogicalUnitConfiguration,
  { device }: LogicalUnitConfiguration,
): LogicalUnitConfiguration {
  return { ...unit, ...(device && { device }) }
}

function withAccessState(
  target: TargetConfiguration,
  group: number,
  state: LastingAccessState,
): TargetConfiguration {
  if (target.alua === undefined) return target
  const groups = target.alua.groups.map((one, i) => ((one.id ?? i + 1) === group ? { ...one, state } : one))
  return { ...target, alua: { ...target.alua, groups } }
}

// ---------------------------------------------------------------------------------------------------- targets

function targetChanges(running: TargetConfiguration, wanted: TargetConfiguration): ConfigurationChange[] {
  const target = wanted.name
  const restart = (what: string): ConfigurationChange => ({ kind: "restart", target, what })
  const changes = differing(running, wanted, ["alua", "luns"]).map(restart)
  changes.push(...aluaChanges(running, wanted))
  for (const unit of wanted.luns) {
    const before = running.luns.find(({ lun }) => lun === unit.lun)
    if (before) changes.push(...unitChanges(target, before, unit))
    else changes.push({ kind: "new unit", target, unit })
  }
  for (const { lun } of running.luns) {
    if (!wanted.luns.some((unit) => unit.lun === lun)) changes.push(restart(`LUN ${lun}, which is no more`))
  }
  return changes
}

function aluaChanges(running: TargetConfiguration, wanted: TargetConfiguration): ConfigurationChange[] {
  const target = wanted.name
  if (!same(withoutStates(running), withoutStates(wanted)))
    return [{ kind: "restart", target, what: "alua, but for the states" }]
  const stateOf = (one: TargetConfiguration, i: number) => one.alua?.groups[i]?.state ?? "active/optimized"
  return (wanted.alua?.groups ?? []).flatMap(({ id }, i): ConfigurationChange[] => {
    const state = stateOf(wanted, i)
    return state === stateOf(running, i) ? [] : [{ kind: "access state", target, group: id ?? i + 1, state }]
  })
}

const withoutStates = ({ alua }: TargetConfiguration) =>
  alua && { ...alua, groups: alua.groups.map(({ state: _, ...group }) => group) }

// ------------------------------------------------------------------------------------------------------ units

function unitChanges(
  target: string,
  running: LogicalUnitConfiguration,
  wanted: LogicalUnitConfiguration,
): ConfigurationChange[] {
  const other = differing(running, wanted, ["device"])
  const restart = (what: string): ConfigurationChange => {
    return { kind: "restart", target, what: `${what} of LUN ${wanted.lun}` }
  }
  const changes = other.map(restart)
  if (same(running.device, wanted.device)) return changes
  const sizeBytes = grownSize(running, wanted)
  // A file that the configuration gives no size any more keeps the one it has.
  if (sizeBytes === "as it is") return changes
  if (sizeBytes !== undefined) changes.push({ kind: "size", target, unit: wanted, sizeBytes })
  else if (hasTray(running) && hasTray(wanted) && !other.includes("type"))
    changes.push({ kind: "medium", target, unit: wanted })
  else changes.push(restart("the device"))
  return changes
}

const hasTray = ({ type, removable }: LogicalUnitConfiguration): boolean =>
  type === "cdrom" || removable === true

/** The new size of a device of which nothing else has changed; undefined where something has, or where it would shrink. */
function grownSize(
  running: LogicalUnitConfiguration,
  wanted: LogicalUnitConfiguration,
): number | "as it is" | undefined {
  const [before, after] = [running.device, wanted.device]
  // With protection information the size of the file isn't that of the device.
  if (!before || !after || wanted.protection || !same(withoutSize(before), withoutSize(after)))
    return undefined
  const [sizeBefore, sizeAfter] = [sizeOf(before), sizeOf(after)]
  if (sizeAfter === undefined) return "as it is"
  return sizeBefore !== undefined && sizeAfter < sizeBefore ? undefined : sizeAfter
}

function sizeOf(device: DeviceConfiguration): number | undefined {
  if ("on" in device) return sizeOf(device.on)
  return "sizeBytes" in device ? device.sizeBytes : undefined
}

function withoutSize(device: DeviceConfiguration): object {
  if ("on" in device) return { ...device, on: withoutSize(device.on) }
  return { ...device, sizeBytes: undefined }
}

// ---------------------------------------------------------------------------------------------------- comparing

/** The keys under which two sections differ. */
function differing<T extends object>(a: T, b: T, except: readonly (keyof T & string)[]): string[] {
  const keys = new Set(Object.keys({ ...a, ...b }))
  for (const key of except) keys.delete(key)
  const value = (of: T, key: string): unknown => (of as Record<string, unknown>)[key]
  return [...keys].filter((key) => !same(value(a, key), value(b, key)))
}

/** node:util's comparison doesn't see secrets. */
function same(a: unknown, b: unknown): boolean {
  if (a instanceof ChapSecret && b instanceof ChapSecret) return a.equals(b)
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b
  const keys = new Set(Object.keys({ ...a, ...b }))
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>]
  return [...keys].every((key) => same(left[key], right[key]))
}
