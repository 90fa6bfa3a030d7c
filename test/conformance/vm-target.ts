/**
 * The target the kernel's initiator is tested with: `sanlet serve`, or Debian's tgtd with SANLET_TARGET=tgtd, to tell
 * a fault of the test from one of ours. It listens on the host side of the test network.
 */
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import type { Rig } from "../rig/rig.ts"
import { type Scratch, type Served, serve } from "./serve.ts"

export interface Credentials {
  readonly name: string
  readonly secret: string
}

export interface TargetOptions {
  readonly iqn: string
  /** Image files, LUN by LUN. */
  readonly images: readonly string[]
  readonly chap?: { readonly user: Credentials; readonly mutual?: Credentials; readonly algorithm?: string }
  /** Milliseconds every operation of a kind takes. */
  readonly delaysMs?: { readonly read: number; readonly write: number }
  /** What it negotiates, by the keys' names; not for tgtd. */
  readonly login?: Readonly<Record<string, unknown>>
}

export interface KernelTarget {
  /** Where the guest finds it. */
  readonly portal: string
  /** LUN of the first image. */
  readonly firstLun: number
  /** Starts it; again after kill(). */
  start(): Promise<void>
  kill(): Promise<void>
  stop(): Promise<void>
}

export const standIn = process.env["SANLET_TARGET"] === "tgtd"

export function kernelTarget(rig: Rig, scratch: Scratch, options: TargetOptions): KernelTarget {
  return standIn ? new Tgtd(rig, options) : new Ours(rig, scratch, options)
}

class Ours implements KernelTarget {
  readonly portal: string
  readonly firstLun = 0
  readonly #rig: Rig
  readonly #configuration: string
  readonly #luns: number
  #served: Served | undefined

  constructor(rig: Rig, scratch: Scratch, { iqn, images, chap, delaysMs, login: keys }: TargetOptions) {
    this.#rig = rig
    this.#luns = images.length
    this.portal = `${rig.network.hostAddress()}:3260`
    const luns = images.map((path, lun) => {
      const file = { type: "file", path }
      const device = delaysMs === undefined ? file : { type: "delay", on: file, delaysMs }
      return { lun, device, serial: `${iqn.split(":").pop()}-${lun}` }
    })
    const login = chap && {
      users: [chap.user],
      ...(chap.mutual && { mutual: chap.mutual }),
      ...(chap.algorithm && { algorithms: [chap.algorithm] }),
    }
    this.#configuration = scratch.configuration(`${iqn.split(":").pop()}.yaml`, {
      portals: [{ listen: this.portal }],
      ...(login && { discovery: { chap: login } }),
      targets: [{ name: iqn, ...(login && { chap: login }), ...(keys && { login: keys }), luns }],
    })
  }

  async start(): Promise<void> {
    this.#served = await serve(["--config", this.#configuration], {
      luns: this.#luns,
      spawn: (command, args, env) => this.#rig.network.spawn(command, args, { env }),
    })
  }

  async kill(): Promise<void> {
    await this.#served?.kill()
  }

  async stop(): Promise<void> {
    await this.#served?.stop()
  }
}

class Tgtd implements KernelTarget {
  static #instances = 0
  readonly portal: string
  readonly firstLun = 1 // LUN 0 is its controller
  readonly #rig: Rig
  readonly #options: TargetOptions
  readonly #control = String(10_000 + (process.pid % 10_000) + Tgtd.#instances++)
  #child: ChildProcess | undefined

  constructor(rig: Rig, options: TargetOptions) {
    if (options.delaysMs !== undefined) throw new Error("tgtd has no delay device")
    this.#rig = rig
    this.#options = options
    this.portal = `${rig.network.hostAddress()}:3260`
  }

  async start(): Promise<void> {
    this.#child = this.#rig.network.spawn("tgtd", [
      "-f",
      "-C",
      this.#control,
      "--iscsi",
      `portal=${this.portal}`,
    ])
    for (let tries = 0; (await this.#adm("show", "--mode", "sys")) !== 0; tries++) {
      if (tries > 100) throw new Error("tgtd does not answer")
      await sleep(100)
    }
    const { iqn, images, chap } = this.#options
    await this.#must("new", "--mode", "target", "--tid", "1", "-T", iqn)
    for (const [index, path] of images.entries()) {
      const lun = String(this.firstLun + index)
      await this.#must("new", "--mode", "logicalunit", "--tid", "1", "--lun", lun, "-b", path)
      await this.#must(
        "update",
        "--mode",
        "logicalunit",
        "--tid",
        "1",
        "--lun",
        lun,
        "--params",
        "thin_provisioning=1",
      )
    }
    for (const name of ["HeaderDigest", "DataDigest"]) {
      await this.#must("update", "--mode", "target", "--tid", "1", "--name", name, "--value", "CRC32C,None")
    }
    await this.#must("bind", "--mode", "target", "--tid", "1", "-I", "ALL")
    if (chap) await this.#account(chap.user, false)
    if (chap?.mutual) await this.#account(chap.mutual, true)
  }

  async #account({ name, secret }: Credentials, outgoing: boolean): Promise<void> {
    await this.#must("new", "--mode", "account", "--user", name, "--password", secret)
    const bind = ["--mode", "account", "--tid", "1", "--user", name]
    await this.#must("bind", ...bind, ...(outgoing ? ["--outgoing"] : []))
  }

  async #adm(op: string, ...args: string[]): Promise<number> {
    return (
      await this.#rig.network.run("tgtadm", ["-C", this.#control, "--lld", "iscsi", "--op", op, ...args])
    ).code
  }

  async #must(op: string, ...args: string[]): Promise<void> {
    const code = await this.#adm(op, ...args)
    if (code !== 0) throw new Error(`tgtadm ${op} ${args.join(" ")}: exit code ${code}`)
  }

  /** tgtd ignores SIGTERM. */
  async kill(): Promise<void> {
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, "exit")
    this.#child.kill("SIGKILL")
    await ended
  }

  async stop(): Promise<void> {
    await this.kill()
  }
}
