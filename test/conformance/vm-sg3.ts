/**
 * What sg3_utils and ddpt are run against: logical units of every kind in one served process, and two initiators of a
 * Linux kernel that are logged in to them through every portal.
 */
import assert from "node:assert/strict"
import { closeSync, openSync, readSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import type { Outcome } from "../rig/control.ts"
import { type Guest, Rig } from "../rig/rig.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"
import { ExitCode } from "./vm-sg3-tools.ts"

export const DISKS = "iqn.2026-01.org.example:disks"
/** Has a target port group for each portal, whose states initiators may change. */
export const PATHS = "iqn.2026-01.org.example:paths"
export const OTHER_NAME = "iqn.2026-01.org.example:other"
export const GUEST_NAME = "iqn.2026-01.org.example:g1"

/** The logical units of DISKS. */
export const Lun = {
  thin: 0,
  copy: 1,
  blocks4k: 2,
  type1: 3,
  type2: 4,
  removable: 5,
  /** Whatever is written to it takes its time. */
  slow: 6,
  readOnly: 7,
  reserved: 8,
  memory: 9,
} as const

const SLOW_WRITE_MS = 60

function configuration(address: string, scratch: Scratch): object {
  const file = (name: string, sizeMib: number) => ({
    type: "file",
    path: scratch.image(`${name}.img`, sizeMib * MiB),
  })
  /** One that keeps protection information makes its image itself. */
  const fresh = (name: string, sizeMib: number) => ({
    type: "file",
    path: scratch.path(`${name}.img`),
    size: sizeMib * MiB,
  })
  const slow = { type: "delay", on: file("slow", 8), delaysMs: { write: SLOW_WRITE_MS } }
  return {
    portals: [
      { listen: `${address}:3260`, group: 1 },
      { listen: `${address}:3261`, group: 2 },
    ],
    targets: [
      {
        name: DISKS,
        portalGroups: [1],
        luns: [
          { lun: Lun.thin, device: file("thin", 64), serial: "SG3-THIN", product: "sg3 thin" },
          { lun: Lun.copy, device: file("copy", 64), serial: "SG3-COPY" },
          { lun: Lun.blocks4k, device: file("blocks4k", 64), blockSize: 4096, serial: "SG3-4K" },
          { lun: Lun.type1, device: fresh("type1", 16), protection: { type: 1 }, serial: "SG3-TYPE1" },
          { lun: Lun.type2, device: fresh("type2", 16), protection: { type: 2 }, serial: "SG3-TYPE2" },
          { lun: Lun.removable, device: file("removable", 16), removable: true, serial: "SG3-REMOVABLE" },
          { lun: Lun.slow, device: slow, serial: "SG3-SLOW" },
          {
            lun: Lun.readOnly,
            device: { type: "readonly", on: file("readonly", 8) },
            serial: "SG3-READONLY",
          },
          { lun: Lun.reserved, device: file("reserved", 8), serial: "SG3-RESERVED" },
          { lun: Lun.memory, device: { type: "memory", size: 16 * MiB }, serial: "SG3-MEMORY" },
        ],
      },
      {
        name: PATHS,
        alua: { explicit: true, groups: [{ portalGroups: [1], preferred: true }, { portalGroups: [2] }] },
        luns: [{ lun: 0, device: file("paths", 8), serial: "SG3-PATHS" }],
      },
    ],
  }
}

/** By their ifaces. `default`: the guest's own name. */
export type Initiator = "default" | "other"

/** A logical unit as one nexus sees it: /dev/sgN and /dev/sdX. */
export interface Nodes {
  readonly sg: string
  readonly sd: string
}

/** Prints a line per nexus and logical unit: target, port of the portal, initiator, LUN, its two nodes. */
const MAP = `for session in /sys/class/iscsi_session/session*; do
  connection=/sys/class/iscsi_connection/connection\${session##*session}:0
  for unit in $session/device/target*/*:*:*:*; do
    [ -d $unit/scsi_generic ] && [ -d $unit/block ] || continue
    echo "$(cat $session/targetname)" "$(cat $connection/persistent_port)" "$(cat $session/initiatorname)" \\
      "\${unit##*:}" "/dev/$(ls $unit/scsi_generic)" "/dev/$(ls $unit/block)"
  done
done`
/** DISKS through one portal, PATHS through two, for two initiators. */
const NODES = 2 * (Object.keys(Lun).length + 2)

export class SgRig {
  readonly scratch = new Scratch()
  #rig: Rig | undefined
  #guest: Guest | undefined
  #served: Served | undefined
  #configuration = ""
  readonly #nodes = new Map<string, Nodes>()

  get guest(): Guest {
    if (!this.#guest) throw new Error("not started")
    return this.#guest
  }

  async start(): Promise<void> {
    this.#rig = await Rig.start()
    // The network's bridge is there once a guest is.
    this.#guest = await this.#rig.boot({ modules: ["iscsi_tcp", "sd_mod", "sg"] })
    const address = this.#rig.network.hostAddress()
    this.#configuration = this.scratch.configuration("sg3.yaml", configuration(address, this.scratch))
    await this.serve()
    const iface = "iscsiadm -m iface -I other"
    await this.sh(`${iface} -o new && ${iface} -o update -n iface.initiatorname -v ${OTHER_NAME}`)
    await this.sh(`iscsiadm -m discovery -t st -p ${address}:3260 -I default -I other && iscsiadm -m node -l`)
    await this.#findNodes()
  }

  async #findNodes(): Promise<void> {
    for (let tries = 0; this.#nodes.size < NODES; tries++) {
      assert.ok(
        tries < 200,
        `${this.#nodes.size} of ${NODES} disks are there:\n${[...this.#nodes.keys()].join("\n")}`,
      )
      for (const line of (await this.sh(MAP)).split("\n")) {
        const [target, port, initiator, lun, sg, sd] = line.split(" ")
        if (sg !== undefined && sd !== undefined)
          this.#nodes.set([target, port, initiator, lun].join(), { sg, sd })
      }
      await sleep(50)
    }
  }

  /** Also after kill(). */
  async serve(): Promise<void> {
    this.#served = await serve(["--config", this.#configuration], {
      luns: Object.keys(Lun).length + 1,
      spawn: (command, args, env) => this.#rig!.network.spawn(command, args, { env }),
    })
  }

  async kill(): Promise<void> {
    await this.#served?.kill()
  }

  /** A unit of DISKS. */
  disk(lun: number, initiator: Initiator = "default"): Nodes {
    return this.#find(DISKS, 3260, initiator, lun)
  }

  /** The unit of PATHS, through one of the portals. */
  path(portalGroup: 1 | 2, initiator: Initiator = "default"): Nodes {
    return this.#find(PATHS, 3259 + portalGroup, initiator, 0)
  }

  #find(target: string, port: number, initiator: Initiator, lun: number): Nodes {
    const name = initiator === "other" ? OTHER_NAME : GUEST_NAME
    const nodes = this.#nodes.get([target, port, name, lun].join())
    if (nodes === undefined) throw new Error(`no disk at LUN ${lun} of ${target}, port ${port}, for ${name}`)
    return nodes
  }

  /** Runs bash in the guest's /tmp; throws unless its exit code is 0. Resolves with what it has printed. */
  sh(command: string): Promise<string> {
    return this.guest.sh(`cd /tmp; ${command}`)
  }

  run(command: string): Promise<Outcome> {
    return this.guest.run(`cd /tmp; ${command}`)
  }

  /** Runs a command that must end with this exit code, and say so. Resolves with all it has printed. */
  async refused(command: string, code: number, said: RegExp | string): Promise<string> {
    const outcome = await this.run(command)
    const printed = outcome.stdout + outcome.stderr
    assert.equal(outcome.code, code, `exit code ${outcome.code} of ${command}\n${printed}`)
    if (typeof said === "string") assert.ok(printed.includes(said), `${command}\n${printed}`)
    else assert.match(printed, said)
    return printed
  }

  /** What REQUEST SENSE tells, as sg_requests decodes it: on the standard error. `unit`: options and node. */
  async polled(unit: string): Promise<string> {
    return await this.refused(`sg_requests ${unit}`, 0, "data-in decoded as sense")
  }

  /** What TEST UNIT READY has to tell as a unit attention, if anything. */
  async attention(sg: string): Promise<string | undefined> {
    const { code, stdout, stderr } = await this.run(`sg_turs -v ${sg}`)
    const told = /Sense key: Unit Attention\nAdditional sense: (.*)/.exec(stdout + stderr)?.[1]
    assert.equal(code, told === undefined ? 0 : ExitCode.unitAttention, stdout + stderr)
    return told
  }

  /** Lets each tell its unit attentions. */
  async calm(...nodes: readonly string[]): Promise<void> {
    await this.sh(nodes.map((sg) => `sg_turs -n 4 ${sg} > /dev/null 2>&1; sg_turs ${sg}`).join(" && "))
  }

  /** Bytes of a unit as its image has them, behind the initiator's back. */
  stored(image: string, offsetBytes: number, lengthBytes: number): Buffer {
    const bytes = Buffer.alloc(lengthBytes)
    const file = openSync(this.scratch.path(`${image}.img`), "r")
    try {
      readSync(file, bytes, 0, lengthBytes, offsetBytes)
    } finally {
      closeSync(file)
    }
    return bytes
  }

  /** Blocks of 512 bytes of a unit, read by sg_dd. */
  async read(sg: string, lba: number, blocks: number, options = ""): Promise<Buffer> {
    const out = "/tmp/read.out"
    const dd = `rm -f ${out}; sg_dd if=${sg} of=${out} bs=512 skip=${lba} count=${blocks} ${options}`
    return Buffer.from(
      await this.sh(`${dd} 2> /tmp/said || { cat /tmp/said >&2; exit 1; }; base64 -w0 ${out}`),
      "base64",
    )
  }

  /** Writes bytes to a unit by sg_dd. */
  async write(sg: string, lba: number, data: Uint8Array, options = ""): Promise<void> {
    await this.guest.write("/tmp/write.in", data)
    await this.sh(`sg_dd if=/tmp/write.in of=${sg} bs=512 seek=${lba} count=${data.length / 512} ${options}`)
  }

  async stop(): Promise<void> {
    await this.#served?.stop()
    await this.#rig?.stop()
    this.scratch.remove()
  }
}
