import type { DeviceConfiguration } from "./device.ts"

interface Refinement {
  addIssue(issue: { code: "custom"; message: string; path: PropertyKey[] }): void
}

interface Checked {
  readonly portals: readonly { readonly listen: { host: string; port: number }; readonly group: number }[]
  readonly targets: readonly {
    readonly name: string
    readonly portalGroups?: readonly number[]
    readonly alua?: {
      readonly groups: readonly { readonly id?: number; readonly portalGroups: readonly number[] }[]
    }
    readonly luns: readonly {
      readonly lun: number
      readonly serial?: string
      readonly naa?: string
      readonly device?: DeviceConfiguration
      readonly protection?: unknown
    }[]
  }[]
}

/** What no field can tell alone: names, numbers, identities and devices that are used twice; groups nobody has. */
export function checkTogether(configuration: Checked, context: Refinement): void {
  const { portals, targets } = configuration
  const once = new Uniqueness(context)
  const groups = new Set(portals.map((portal) => portal.group))
  for (const [i, { listen }] of portals.entries()) {
    if (listen.port !== 0)
      once.claim("the portal", `${listen.host} port ${listen.port}`, ["portals", i, "listen"])
  }
  for (const [t, target] of targets.entries()) {
    once.claim("the target name", target.name.toLowerCase(), ["targets", t, "name"])
    checkGroups(target.portalGroups ?? [], groups, ["targets", t, "portalGroups"], context)
    checkTargetPortGroups(target, t, groups, once, context)
    for (const [l, unit] of target.luns.entries()) {
      const path = ["targets", t, "luns", l]
      once.claim("LUN", String(unit.lun), [...path, "lun"], `in target ${t}`)
      if (unit.serial !== undefined) once.claim("the serial", unit.serial, [...path, "serial"])
      if (unit.naa !== undefined) once.claim("the NAA", unit.naa, [...path, "naa"])
      if (unit.protection !== undefined && unit.device && isDirect(unit.device)) {
        const message = "protection information can't be kept with cache: direct; leave one of them out"
        context.addIssue({ code: "custom", message, path: [...path, "protection"] })
      }
      const storage = unit.device && storageOf(unit.device)
      if (storage) once.claim("the storage", storage, [...path, "device"])
    }
  }
}

function checkGroups(
  tags: readonly number[],
  groups: ReadonlySet<number>,
  path: PropertyKey[],
  context: Refinement,
): void {
  for (const [i, tag] of tags.entries()) {
    if (groups.has(tag)) continue
    const message = `no portal is in group ${tag}; there are ${[...groups].join(", ")}`
    context.addIssue({ code: "custom", message, path: [...path, i] })
  }
}

/** A portal group is in one target port group of a target, and in none only where it doesn't reach the target. */
function checkTargetPortGroups(
  { alua, portalGroups }: Checked["targets"][number],
  t: number,
  groups: ReadonlySet<number>,
  once: Uniqueness,
  context: Refinement,
): void {
  if (alua === undefined) return
  const grouped = new Set<number>()
  for (const [g, group] of alua.groups.entries()) {
    const path = ["targets", t, "alua", "groups", g]
    const within = `target port groups of ${t}`
    once.claim("the target port group", String(group.id ?? g + 1), [...path, "id"], within)
    checkGroups(group.portalGroups, groups, [...path, "portalGroups"], context)
    for (const [i, tag] of group.portalGroups.entries()) {
      const place = [...path, "portalGroups", i]
      once.claim("the portal group", String(tag), place, within)
      grouped.add(tag)
      if (portalGroups?.includes(tag) !== false) continue
      const message = `expected a portal group of the target's portalGroups (${portalGroups.join(", ")}), found ${tag}`
      context.addIssue({ code: "custom", message, path: place })
    }
  }
  for (const [i, tag] of (portalGroups ?? []).entries()) {
    if (grouped.has(tag)) continue
    const message = `expected a portal group of alua.groups (${[...grouped].join(", ")}), found ${tag}`
    context.addIssue({ code: "custom", message, path: ["targets", t, "portalGroups", i] })
  }
}

interface CheckedUnit {
  readonly type?: "disk" | "cdrom"
  readonly removable?: boolean
  readonly device?: DeviceConfiguration
  readonly blockSize?: number
  readonly physicalBlockSize?: number
  readonly thin?: boolean
  readonly writeSameToEnd?: boolean
  readonly protection?: unknown
}

/** Of disks only. */
const DISK_KEYS = ["physicalBlockSize", "thin", "writeSameToEnd"] as const

/** What the keys of one logical unit have to do with each other. */
export function checkUnit(unit: CheckedUnit, context: Refinement): void {
  const { type, removable, device, blockSize, physicalBlockSize, protection } = unit
  const issue = (key: string, message: string): void =>
    context.addIssue({ code: "custom", message, path: [key] })
  if (protection !== undefined && (type === "cdrom" || removable === true))
    issue("protection", "only a disk whose medium stays has protection information: expected nothing")
  if (type === "cdrom") {
    if (removable === false)
      issue("removable", "a disc can be taken out of a cdrom: expected true, or nothing")
    if (blockSize !== undefined) issue("blockSize", "a cdrom has blocks of 2048 bytes: expected nothing")
    for (const key of DISK_KEYS)
      if (unit[key] !== undefined) issue(key, "only a disk has a choice: expected nothing")
  } else if (device === undefined && removable !== true) {
    issue("device", "missing; only a removable disk and a cdrom can do without")
  }
  if (physicalBlockSize !== undefined && type !== "cdrom" && physicalBlockSize < (blockSize ?? 512))
    issue(
      "physicalBlockSize",
      `it holds whole logical blocks of ${blockSize ?? 512} bytes: expected as many, or more`,
    )
}

/** What keeps the data of a device in the end; undefined when it is its own. */
export function storageOf(device: DeviceConfiguration): string | undefined {
  if ("on" in device) return storageOf(device.on)
  return "path" in device ? device.path : undefined
}

const isDirect = (device: DeviceConfiguration): boolean =>
  "on" in device ? isDirect(device.on) : "cache" in device && device.cache === "direct"

class Uniqueness {
  readonly #seen = new Set<string>()
  readonly #context: Refinement

  constructor(context: Refinement) {
    this.#context = context
  }

  claim(what: string, value: string, path: PropertyKey[], within = ""): void {
    const key = [what, value, within].join("\0")
    if (this.#seen.has(key)) {
      this.#context.addIssue({ code: "custom", message: `${what} ${value} is used already, above`, path })
    }
    this.#seen.add(key)
  }
}
