import { configurationJsonSchema, loadConfiguration } from "../../src/control/config/load.ts"
import type { DeviceConfiguration } from "../../src/control/config/device.ts"
import type { Configuration, LogicalUnitConfiguration } from "../../src/control/config/schema.ts"
import { configurationWarnings } from "../../src/control/config/warnings.ts"
import { formatBytes } from "../../src/control/sizes.ts"
import { formatHostPort } from "../../src/discovery/index.ts"
import { UsageError } from "../errors.ts"
import { table } from "../output/table.ts"
import type { Session } from "../session.ts"
import { print, printJson, tell } from "../terminal.ts"

export interface CheckConfigOptions {
  readonly schema?: boolean
  readonly json?: boolean
}

/** Says whether a configuration is right, and what it would serve; or prints the JSON Schema. */
export function checkConfig(
  file: string | undefined,
  options: CheckConfigOptions,
  { terminal }: Session,
): void {
  if (options.schema) return print(terminal, JSON.stringify(configurationJsonSchema(), null, 2))
  if (file === undefined) throw new UsageError("name a FILE to check, or ask for the --schema")
  const configuration = loadConfiguration(file, terminal.env)
  const warnings = configurationWarnings(configuration)
  if (options.json) return printJson(terminal, { ok: true, file, ...summary(configuration), warnings })
  const { targets, luns, portals } = summary(configuration)
  const count = (many: number, noun: string) => `${many} ${noun}${many === 1 ? "" : "s"}`
  print(
    terminal,
    `${file}: ${terminal.style.green("ok")}, ${count(targets, "target")}, ${count(luns, "LUN")}, on ${portals.join(" and ")}`,
    "",
    ...table(
      [{ title: "TARGET" }, { title: "LUN", align: "right" }, { title: "DEVICE" }, { title: "LOGIN" }],
      rowsOf(configuration),
      terminal.style,
    ),
  )
  for (const warning of warnings) tell(terminal, `${terminal.errStyle.yellow("warning:")} ${warning}`)
}

const summary = ({ targets, portals }: Configuration) => ({
  targets: targets.length,
  luns: targets.reduce((sum, { luns }) => sum + luns.length, 0),
  portals: portals.map(({ listen }) => formatHostPort(listen)),
})

function rowsOf({ targets }: Configuration): string[][] {
  return targets.flatMap(({ name, luns, chap, access }) =>
    luns.map((unit, i) => {
      const proof = chap ? (chap.outgoing ? "mutual CHAP" : "CHAP") : "anyone"
      const login = access ? `${proof}, access list` : proof
      return [i === 0 ? name : "", String(unit.lun), describeUnit(unit), i === 0 ? login : ""]
    }),
  )
}

/** As "cdrom: disc.iso". */
function describeUnit({ type, removable, device }: LogicalUnitConfiguration): string {
  const kind = type === "cdrom" ? "cdrom: " : removable ? "removable: " : ""
  return kind + (device ? describe(device) : "empty")
}

/** As "delay(disk.img, 10 GiB)". */
function describe(device: DeviceConfiguration): string {
  if ("on" in device) return `${device.type}(${describe(device.on)})`
  const size =
    "sizeBytes" in device && device.sizeBytes !== undefined ? formatBytes(device.sizeBytes) : undefined
  if ("path" in device) return size === undefined ? device.path : `${device.path}, ${size}`
  return `${device.type}, ${size}`
}
