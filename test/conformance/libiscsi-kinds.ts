/**
 * The kinds of logical units libiscsi's suite runs on, each on a target of its own that is reached through two portals, and all
 * of them served by one process. What comes of its tests on each is in libiscsi-outcomes.json.
 */
import { writeFileSync } from "node:fs"
import { MiB, type Scratch } from "./serve.ts"

/** What it moves in one command is at most 1 MiB. */
export const MEDIUM_BYTES = 32 * MiB
/**
 * A test of SANITIZE's wants it in progress still after four seconds of sleep, four resets and a new login: here it takes one for
 * each MiB.
 */
const SLOW_WRITE_MS = 1000
const SLOW_BYTES = 8 * MiB

/** What the header of an encrypted device takes of the one below. */
const HEADER_BYTES = 1 * MiB

type Device = Readonly<Record<string, unknown>>

interface Devices {
  file(name: string, sizeBytes?: number): Device
  encrypted(on: Device): Device
}

export interface Kind {
  readonly name: string
  readonly what: string
  /** Its LUNs as a configuration has them, but for their numbers. */
  readonly luns: (devices: Devices) => readonly object[]
  /** Absent: the whole suite. */
  readonly suite?: string
  /** Through one portal only. */
  readonly onePath?: true
}

export const kinds: readonly Kind[] = [
  { name: "thin", what: "a thin LUN", luns: ({ file }) => [{ device: file("thin") }] },
  {
    name: "full",
    what: "a fully provisioned LUN",
    luns: ({ file }) => [{ device: file("full"), thin: false }],
  },
  {
    name: "removable",
    what: "a removable LUN",
    luns: ({ file }) => [{ device: file("removable"), removable: true }],
  },
  {
    name: "readonly",
    what: "a LUN whose device can't be written",
    luns: ({ file }) => [{ device: { type: "readonly", on: file("readonly") } }],
  },
  {
    name: "4kn",
    what: "a LUN with logical blocks of 4096 bytes",
    luns: ({ file }) => [{ device: file("4kn"), blockSize: 4096 }],
  },
  {
    name: "512e",
    what: "a LUN with eight logical blocks in a physical one",
    luns: ({ file }) => [{ device: file("512e"), physicalBlockSize: 4096 }],
  },
  {
    name: "protected",
    what: "a LUN with protection information",
    luns: ({ file }) => [{ device: file("protected"), protection: { type: 1 } }],
  },
  {
    name: "encrypted",
    what: "an encrypted LUN",
    luns: ({ file, encrypted }) => [{ device: encrypted(file("encrypted", MEDIUM_BYTES + HEADER_BYTES)) }],
  },
  {
    name: "to-end",
    what: "a LUN where WRITE SAME of 0 blocks goes to the end",
    luns: ({ file }) => [{ device: file("to-end"), writeSameToEnd: true }],
  },
  {
    name: "several",
    what: "the last of several LUNs",
    luns: ({ file }) => [0, 1, 2].map((lun) => ({ device: file(`several-${lun}`) })),
  },
  {
    name: "slow",
    what: "a LUN that is slow to be sanitized, through one portal",
    luns: ({ file }) => [
      { device: { type: "delay", on: file("slow", SLOW_BYTES), delaysMs: { write: SLOW_WRITE_MS } } },
    ],
    suite: "Sanitize",
    onePath: true,
  },
]

const PREFIX = "iqn.2026-01.org.example:"

/** A configuration that serves them all; every target's second path is through the portal of group 2. */
export function configurationOfKinds(
  scratch: Scratch,
  portals: readonly [string, string],
  served: readonly Kind[] = kinds,
): object {
  const keyFile = scratch.path("kinds.key")
  writeFileSync(keyFile, "5a".repeat(32))
  const devices: Devices = {
    file: (name, sizeBytes = MEDIUM_BYTES) => ({
      type: "file",
      path: scratch.image(`${name}.img`, sizeBytes),
    }),
    encrypted: (on) => ({ type: "encrypted", keyFile, on }),
  }
  const groups = [{ portalGroups: [1] }, { portalGroups: [2], state: "active/non-optimized" }]
  return {
    portals: portals.map((listen, i) => ({ listen, group: i + 1 })),
    targets: served.map(({ name, luns }) => ({
      name: PREFIX + name,
      alua: { groups },
      luns: luns(devices).map((unit, lun) => ({ lun, ...unit })),
    })),
  }
}

export function lunsOfKinds(served: readonly Kind[] = kinds): number {
  const devices = { file: () => ({}), encrypted: () => ({}) }
  return served.reduce((sum, { luns }) => sum + luns(devices).length, 0)
}

/** Of a kind: the URL of its last LUN through each portal, `other` being the second's HOST:PORT. */
export function urlsOfKind({ name, onePath }: Kind, urls: readonly string[], other: string): string[] {
  const url = urls.findLast((one) => one.includes(`/${PREFIX}${name}/`))
  if (url === undefined) throw new Error(`no LUN of the kind ${name} is served`)
  return onePath ? [url] : [url, url.replace(/(?<=^iscsi:\/\/)[^/]+/, other)]
}
