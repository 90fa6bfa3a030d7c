import type { DeviceConfiguration } from "./device.ts"

interface Refinement {
  addIssue(issue: { code: "custom"; message: string; path: PropertyKey[] }): void
}

interface Checked {
  readonly portals: readonly { readonly listen: { host: string; port: number }; readonly group: number }[]
  readonly targets: readonly {
    readonly name: string
    readonly portalGroups?: readonly number[]
    readonly luns: readonly {
      readonly lun: number
      readonly serial?: string
      readonly naa?: string
      readonly device?: DeviceConfiguration
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
    for (const [g, group] of (target.portalGroups ?? []).entries()) {
      if (groups.has(group)) continue
      const message = `no portal is in group ${group}; there are ${[...groups].join(", ")}`
      context.addIssue({ code: "custom", message, path: ["targets", t, "portalGroups", g] })
    }
    for (const [l, unit] of target.luns.entries()) {
      const path = ["targets", t, "luns", l]
      once.claim("LUN", String(unit.lun), [...path, "lun"], `in target ${t}`)
      if (unit.serial !== undefined) once.claim("the serial", unit.serial, [...path, "serial"])
      if (unit.naa !== undefined) once.claim("the NAA", unit.naa, [...path, "naa"])
      const storage = unit.device && storageOf(unit.device)
      if (storage) once.claim("the storage", storage, [...path, "device"])
    }
  }
}

interface CheckedUnit {
  readonly type?: "disk" | "cdrom"
  readonly removable?: boolean
  readonly device?: DeviceConfiguration
  readonly blockSize?: number
}

/** What the keys of one logical unit have to do with each other. */
export function checkUnit({ type, removable, device, blockSize }: CheckedUnit, context: Refinement): void {
  const issue = (key: string, message: string): void =>
    context.addIssue({ code: "custom", message, path: [key] })
  if (type === "cdrom") {
    if (removable === false)
      issue("removable", "a disc can be taken out of a cdrom: expected true, or nothing")
    if (blockSize !== undefined) issue("blockSize", "a cdrom has blocks of 2048 bytes: expected nothing")
  } else if (device === undefined && removable !== true) {
    issue("device", "missing; only a removable disk and a cdrom can do without")
  }
}

/** What keeps the data of a device in the end; undefined when it is its own. */
export function storageOf(device: DeviceConfiguration): string | undefined {
  if ("on" in device) return storageOf(device.on)
  return "path" in device ? device.path : undefined
}

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
