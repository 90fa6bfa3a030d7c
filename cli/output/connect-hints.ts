import { isIP } from "node:net"
import { networkInterfaces } from "node:os"
import type { ServedUnit, ServerStatus } from "../../src/control/api/index.ts"
import { isLoopback } from "../../src/control/config/warnings.ts"
import { formatBytes } from "../../src/control/sizes.ts"
import type { Style } from "./style.ts"

/** How to use what is being served, from here and from elsewhere. */
export function connectHints(server: ServerStatus, style: Style, created?: string): string[] {
  const unit = server.units[0]
  if (!unit) return []
  const open = server.portals.filter(({ address }) => !isLoopback(hostOf(address)))
  return [
    "",
    ...server.units.map((served) => describeUnit(served, served.device === created, style)),
    "",
    ...examples(unit, style),
    ...(server.portals.some(({ transports }) => transports.includes("iser"))
      ? iserExamples(unit, open[0]?.address, style)
      : []),
    "",
    ...(open.length > 0 ? reachHints(open[0]!.address, server, style) : [LOCAL_ONLY]),
    `${style.bold("Ctrl-C")} stops it; initiators are logged out and everything is flushed.`,
    "",
  ]
}

const LOCAL_ONLY = "Only this machine can connect. For others: --listen 0.0.0.0:3260 or --listen '[::]:3260'."

function describeUnit(unit: ServedUnit, isNew: boolean, style: Style): string {
  const kind = unit.type === "cdrom" ? "a CD-ROM drive" : unit.readOnly ? "read-only" : ""
  const notes = [isNew ? "a new, sparse file" : "", kind].filter((note) => note)
  const what = notes.length > 0 ? ` (${notes.join(", ")})` : ""
  return `LUN ${unit.lun}: ${style.bold(formatBytes(unit.sizeBytes))} in ${unit.device}${what}`
}

function examples({ url, target, authenticated }: ServedUnit, style: Style): string[] {
  const portal = url.split("/")[2] ?? ""
  const chap = authenticated ? ", and before: node.session.auth.*, since CHAP is asked for" : ""
  const row = rowIn(style)
  return [
    row("open-iscsi", `sudo iscsiadm -m discovery -t sendtargets -p ${portal}`),
    row("", `sudo iscsiadm -m node -T ${target} -p ${portal} --login`, `# then: lsblk -S${chap}`),
    row("qemu", `qemu-img info ${url}`),
    row("", `qemu-system-x86_64 -m 1G -drive file=${url},format=raw,if=virtio`),
    row("sanlet", `npx sanlet info ${url}`),
    row("", `npx sanlet copy some.img ${url} --verify`),
  ]
}

/**
 * The same over RDMA: software iWARP, at the same port. Linux needs a device of that kind on the way to the portal, and
 * its own doesn't speak over the loopback interface: only other machines come by `open`, the portal they reach.
 */
function iserExamples({ url, target }: ServedUnit, open: string | undefined, style: Style): string[] {
  const row = rowIn(style)
  const own = `npx sanlet info ${url.replace(/^iscsi:/, "iser:")}`
  if (open === undefined) return [row("over iSER", own, "# Linux's: from other machines")]
  const portal = open.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, "THIS-HOST")
  return [
    row("over iSER", own),
    row("elsewhere", "sudo rdma link add siw0 type siw netdev eth0", "# once: software iWARP"),
    row("", `sudo iscsiadm -m node -T ${target} -p ${portal} -I iser -o new`),
    row("", `sudo iscsiadm -m node -T ${target} -p ${portal} -I iser --login`),
  ]
}

const rowIn =
  (style: Style) =>
  (what: string, command: string, comment = ""): string =>
    `  ${style.dim(what.padEnd(12))}${style.cyan(command)}${comment ? `  ${style.dim(comment)}` : ""}`

/** Of a portal others can reach. */
function reachHints(address: string, { units }: ServerStatus, style: Style): string[] {
  const port = address.slice(address.lastIndexOf(":") + 1)
  const host = hostOf(address)
  const others = host === "0.0.0.0" || host === "::" ? ownAddresses(host === "::") : [host]
  const reached = others.map((other) => (isIP(other) === 6 ? `[${other}]:${port}` : `${other}:${port}`))
  const lines = reached.length > 0 ? [`Others connect to ${reached.join(", ")}.`] : []
  if (units.every(({ authenticated }) => authenticated)) return lines
  const warning = "Whoever reaches that address can read and write these disks"
  return [...lines, `${style.yellow(warning)}: CHAP and access lists are set with --config.`]
}

function ownAddresses(both: boolean): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return all
    .filter(
      ({ internal, family, address }) =>
        !internal && !address.startsWith("fe80") && (both || family === "IPv4"),
    )
    .map(({ address }) => address)
}

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "")
