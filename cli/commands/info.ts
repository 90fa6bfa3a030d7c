import { located } from "../../src/control/located.ts"
import { formatBytes } from "../../src/control/sizes.ts"
import { type Disk, formatIscsiUrl, parseDiskUrl } from "../../src/initiator/index.ts"
import { portalUrl } from "../arguments.ts"
import { initiatorFor, type LoginOptions } from "../initiator.ts"
import { hexDump } from "../output/hex-dump.ts"
import { formatCount } from "../output/numbers.ts"
import { printable } from "../output/style.ts"
import { pairs } from "../output/table.ts"
import type { Session } from "../session.ts"
import { print, printJson } from "../terminal.ts"

export interface InfoOptions extends LoginOptions {
  readonly json?: boolean
  readonly hex?: boolean
}

/** The VPD pages people know by these names (SPC-4 §7.8, SBC-3 §6.6). */
const pageNames: Readonly<Record<number, string>> = {
  0x00: "Supported VPD Pages",
  0x80: "Unit Serial Number",
  0x83: "Device Identification",
  0x86: "Extended INQUIRY Data",
  0xb0: "Block Limits",
  0xb1: "Block Device Characteristics",
  0xb2: "Logical Block Provisioning",
}

/** All a LUN and its session tell of themselves. */
export async function info(url: string, options: InfoOptions, session: Session): Promise<void> {
  const { terminal, signal } = session
  const where = parseDiskUrl(portalUrl(url), terminal.env)
  const shown = formatIscsiUrl(where)
  const disk = await located(shown, initiatorFor(options, session).open(where, { signal }))
  try {
    const pages = await vpdPages(disk)
    if (options.json) printJson(terminal, { url: shown, ...facts(disk), vpdPages: hexOf(pages) })
    else print(terminal, ...report(disk, shown, pages, options.hex === true, session))
  } finally {
    await disk.close()
  }
}

async function vpdPages(disk: Disk): Promise<Map<number, Uint8Array>> {
  const pages = new Map<number, Uint8Array>()
  const list = await disk.vpdPage(0x00)
  for (const code of list?.subarray(4) ?? []) {
    const page = await disk.vpdPage(code)
    if (page) pages.set(code, page)
  }
  return pages
}

const hexOf = (pages: ReadonlyMap<number, Uint8Array>): Record<string, string> =>
  Object.fromEntries([...pages].map(([code, page]) => [codeText(code), Buffer.from(page).toString("hex")]))

const codeText = (code: number): string => `${code.toString(16).toUpperCase().padStart(2, "0")}h`

function facts(disk: Disk): object {
  const { inquiry, identity, limits, modes, session, lun } = disk
  return {
    target: session.options.targetName,
    lun,
    inquiry,
    identity,
    capacity: {
      sizeBytes: disk.sizeBytes,
      blocks: disk.countBlocks,
      blockBytes: disk.blockBytes,
      physicalBlockBytes: disk.physicalBlockBytes,
      thin: disk.thin,
    },
    modes,
    limits,
    session: {
      portal: session.portal,
      transport: session.transport,
      tsih: session.tsih,
      alias: session.targetAlias,
      portalGroup: session.targetPortalGroupTag,
      keys: session.keys,
    },
  }
}

type Entries = [string, string][]

function report(
  disk: Disk,
  url: string,
  pages: ReadonlyMap<number, Uint8Array>,
  hex: boolean,
  { terminal }: Session,
): string[] {
  const { style } = terminal
  const section = (title: string, entries: Entries) => ["", style.bold(title), ...pairs(entries, style)]
  const pageEntries: Entries = [...pages].map(([code, page]) => [
    codeText(code),
    `${pageNames[code] ?? "(vendor specific or unknown)"}, ${page.length} bytes`,
  ])
  return [
    style.bold(printable(url)),
    ...section("Unit", unitEntries(disk)),
    ...section("Capacity", capacityEntries(disk)),
    ...section("Limits", limitEntries(disk)),
    ...section("VPD pages", pageEntries),
    ...(hex
      ? [...pages].flatMap(([code, page]) => ["", style.bold(`VPD ${codeText(code)}`), ...hexDump(page)])
      : []),
    ...section("Session", sessionEntries(disk)),
  ]
}

function unitEntries({ inquiry, identity, modes }: Disk): Entries {
  return [
    ["vendor", printable(inquiry.vendor)],
    ["product", `${printable(inquiry.product)}, revision ${printable(inquiry.revision)}`],
    ["serial", printable(identity.serial ?? "-")],
    ...identity.designators.map((name, i): [string, string] => [i === 0 ? "names" : "", printable(name)]),
    ["writable", modes.writeProtected ? "no" : "yes"],
    ["write cache", modes.writeCache ? "yes: writes are stable after a flush" : "no: every write is stable"],
    ["FUA", modes.dpoFua ? "yes" : "no"],
  ]
}

function capacityEntries(disk: Disk): Entries {
  const physical =
    disk.physicalBlockBytes === disk.blockBytes ? "" : `, physically ${disk.physicalBlockBytes}`
  return [
    ["size", `${formatBytes(disk.sizeBytes)} (${formatCount(disk.sizeBytes)} bytes)`],
    ["blocks", `${formatCount(disk.countBlocks)} of ${disk.blockBytes} bytes${physical}`],
    ["thin", disk.thin ? "yes: unmapped blocks are given back" : "no"],
  ]
}

function limitEntries({ limits, blockBytes }: Disk): Entries {
  const blocks = (count: number) => (count === 0 ? "no limit named" : `${formatBytes(count * blockBytes)}`)
  return [
    ["transfer", blocks(limits.transferBlocks)],
    ["best transfer", blocks(limits.optimalTransferBlocks)],
    ["compare and write", limits.compareAndWriteBlocks === 0 ? "no" : blocks(limits.compareAndWriteBlocks)],
    [
      "unmap",
      limits.unmap ? `yes, in units of ${formatBytes(limits.unmapGranularityBlocks * blockBytes)}` : "no",
    ],
    ["write same", blocks(limits.writeSameBlocks)],
  ]
}

const transportText = (transport: Disk["session"]["transport"]): string =>
  transport === "iser" ? "iSER: the target moves data by RDMA" : "TCP"

function sessionEntries({ session }: Disk): Entries {
  const { keys, portal, targetAlias } = session
  const yesNo = (value: boolean) => (value ? "Yes" : "No")
  return [
    ["portal", `${portal.host} port ${portal.port}, group ${session.targetPortalGroupTag ?? "-"}`],
    ["transport", transportText(session.transport)],
    ...(targetAlias === undefined ? [] : [["TargetAlias", printable(targetAlias)] as [string, string]]),
    ["HeaderDigest", keys.headerDigest],
    ["DataDigest", keys.dataDigest],
    [
      "MaxRecvDataSegmentLength",
      `${formatBytes(keys.maxSendDataSegmentLength)} (target's), ${formatBytes(keys.maxRecvDataSegmentLength)} (ours)`,
    ],
    ["MaxBurstLength", formatBytes(keys.maxBurstLength)],
    ["FirstBurstLength", formatBytes(keys.firstBurstLength)],
    ["InitialR2T", yesNo(keys.initialR2T)],
    ["ImmediateData", yesNo(keys.immediateData)],
    ["MaxOutstandingR2T", String(keys.maxOutstandingR2T)],
    ["DataPDUInOrder", yesNo(keys.dataPduInOrder)],
    ["DataSequenceInOrder", yesNo(keys.dataSequenceInOrder)],
    ["MaxConnections", String(keys.maxConnections)],
    ["ErrorRecoveryLevel", String(keys.errorRecoveryLevel)],
    ["DefaultTime2Wait", `${keys.defaultTime2Wait} s`],
    ["DefaultTime2Retain", `${keys.defaultTime2Retain} s`],
    ["TaskReporting", keys.taskReporting],
    ["iSCSIProtocolLevel", String(keys.iscsiProtocolLevel)],
  ]
}
