import { SanletError } from "../../src/base/errors.ts"
import { formatBytes } from "../../src/control/sizes.ts"
import { type DiscoveredTarget, parseHostPort } from "../../src/discovery/index.ts"
import {
  Disk,
  DiskError,
  formatIscsiUrl,
  type Initiator,
  type IscsiUrl,
  parseIscsiUrl,
  type Session,
} from "../../src/initiator/index.ts"
import { portalUrl } from "../arguments.ts"
import { UnwelcomeResult } from "../errors.ts"
import { ExitCode } from "../exit-codes.ts"
import { initiatorFor, type LoginOptions } from "../initiator.ts"
import { printable } from "../output/style.ts"
import { table } from "../output/table.ts"
import type { Session as CommandSession } from "../session.ts"
import { print, printJson, tell } from "../terminal.ts"

interface Unit {
  readonly url: string
  readonly lun: number
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly vendor: string
  readonly product: string
  readonly serial: string | undefined
  readonly thin: boolean
  readonly readOnly: boolean
}

/** A logical unit that is something else, as the controllers some targets have. */
interface OtherUnit {
  readonly lun: number
  readonly what: string
}

interface ListedTarget {
  readonly target: string
  /** What its session ran over. */
  readonly transport?: Session["transport"]
  readonly units: readonly Unit[]
  readonly others: readonly OtherUnit[]
  /** Why there is no more to tell. */
  readonly problem?: string
}

/** Targets and their LUNs: of a portal all, of a target's URL only its own. */
export async function list(
  where: string,
  options: LoginOptions & { json?: boolean },
  session: CommandSession,
): Promise<void> {
  const { terminal, signal } = session
  const url = parseIscsiUrl(portalUrl(where), terminal.env)
  const initiator = initiatorFor(options, session)
  const places = url.target === undefined ? await discovered(initiator, url, signal) : [url]
  const listed: ListedTarget[] = []
  for (const place of places) listed.push(await listTarget(initiator, place, signal))
  if (options.json) printJson(terminal, { targets: listed })
  else printTargets(listed, session)
  if (listed.some(({ problem }) => problem !== undefined)) throw new UnwelcomeResult(ExitCode.failure)
}

async function discovered(initiator: Initiator, url: IscsiUrl, signal: AbortSignal): Promise<IscsiUrl[]> {
  const targets = await initiator.discover(url, signal)
  return targets.map((target) => ({ ...url, ...portalOf(target, url), target: target.name }))
}

/** The portal that was asked, where the target is reached there too; else the first one it names. */
function portalOf({ addresses }: DiscoveredTarget, asked: IscsiUrl): { host: string; port: number } {
  const portals = addresses
    .map(({ address }) => parseHostPort(address))
    .filter((portal) => portal !== undefined)
  const same = portals.some(({ host, port }) => host === asked.host && port === asked.port)
  return same ? asked : (portals[0] ?? asked)
}

async function listTarget(initiator: Initiator, url: IscsiUrl, signal: AbortSignal): Promise<ListedTarget> {
  const target = url.target ?? ""
  const units: Unit[] = []
  const others: OtherUnit[] = []
  let transport: Session["transport"] | undefined
  try {
    const login = await initiator.login(url, signal)
    transport = login.transport
    try {
      const luns = url.lun === undefined ? await initiator.logicalUnits(login, signal) : [url.lun]
      for (const lun of luns.toSorted((a, b) => a - b)) {
        const disk = await openDisk(login, lun, signal)
        if (disk instanceof Disk) units.push(unitOf(disk, { ...url, lun }))
        else others.push({ lun, what: disk.message })
      }
    } finally {
      await login.close()
    }
  } catch (error) {
    if (signal.aborted || !(error instanceof SanletError)) throw error
    return { target, units, others, problem: error.message }
  }
  return { target, transport, units, others }
}

async function openDisk(login: Session, lun: number, signal: AbortSignal): Promise<Disk | DiskError> {
  try {
    return await Disk.on(login, lun, { signal })
  } catch (error) {
    if (error instanceof DiskError) return error
    throw error
  }
}

const unitOf = (disk: Disk, url: IscsiUrl): Unit => ({
  url: formatIscsiUrl(url),
  lun: disk.lun,
  sizeBytes: disk.sizeBytes,
  blockBytes: disk.blockBytes,
  vendor: disk.inquiry.vendor,
  product: disk.inquiry.product,
  serial: disk.identity.serial,
  thin: disk.thin,
  readOnly: disk.modes.writeProtected,
})

const columns = [
  { title: "LUN", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "BLOCK", align: "right" },
  { title: "MODE" },
  { title: "DEVICE" },
  { title: "SERIAL" },
  { title: "URL" },
] as const

function printTargets(listed: readonly ListedTarget[], { terminal }: CommandSession): void {
  const { style } = terminal
  if (listed.length === 0) tell(terminal, "no targets for this initiator")
  for (const [i, { target, transport, units, others, problem }] of listed.entries()) {
    if (i > 0) print(terminal, "")
    print(terminal, style.bold(printable(target)) + (transport === "iser" ? style.dim("  over iSER") : ""))
    if (units.length > 0) {
      const lines = table(columns, units.map(rowOf), { ...style, bold: (title) => style.dim(title) })
      print(terminal, ...lines.map((line) => `  ${line}`))
    }
    for (const { what } of others) print(terminal, `  ${style.dim(printable(what))}`)
    if (problem !== undefined) print(terminal, `  ${style.yellow(printable(problem))}`)
    else if (units.length + others.length === 0) print(terminal, "  no LUNs")
  }
}

const rowOf = (unit: Unit): string[] => [
  String(unit.lun),
  formatBytes(unit.sizeBytes),
  String(unit.blockBytes),
  `${unit.readOnly ? "ro" : "rw"}${unit.thin ? ", thin" : ""}`,
  printable(`${unit.vendor} ${unit.product}`),
  printable(unit.serial ?? "-"),
  printable(unit.url),
]
