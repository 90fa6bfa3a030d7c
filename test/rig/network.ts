/**
 * A network namespace per test run, with a bridge on which guests and the host side of a test meet. It has no way out,
 * and needs root. Namespaces and processes of a run that was killed are swept away by the next.
 */
import { type ChildProcess, execFileSync, spawn, type StdioOptions } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import type { Outcome } from "./control.ts"

const PREFIX = "sanlet-"
const NAMESPACES = "/run/netns"

/** How a host-side program is run: `stdio` as child_process has it. */
export interface HostOptions {
  readonly stdio?: StdioOptions
  readonly env?: NodeJS.ProcessEnv
}

/** Networks this process has made. */
let made = 0

export class TestNetwork {
  readonly namespace = `${PREFIX}${process.pid}-${++made}`
  #bridges = 0

  constructor() {
    sweep()
    ip("netns", "add", this.namespace)
    this.#ip("link", "set", "lo", "up")
  }

  /** The host side's address on bridge `index`. */
  hostAddress(index = 0): string {
    return `10.77.${index}.1`
  }

  /** The address a guest has on bridge `index`: `number` is from 1 to 200. */
  guestAddress(number: number, index = 0): string {
    return `10.77.${index}.${10 + number}`
  }

  guestAddress6(number: number, index = 0): string {
    return `fd77:5a4e:${index}::${(10 + number).toString(16)}`
  }

  /** Makes the tap device for a guest's NIC, and its bridge when missing. */
  addTap(guestNumber: number, index: number): string {
    while (this.#bridges <= index) this.#addBridge(this.#bridges++)
    const tap = `tap${guestNumber}.${index}`
    this.#ip("tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr")
    this.#ip("link", "set", tap, "master", `br${index}`, "up")
    return tap
  }

  #addBridge(index: number): void {
    const bridge = `br${index}`
    this.#ip(
      "link",
      "add",
      bridge,
      "type",
      "bridge",
      "stp_state",
      "0",
      "forward_delay",
      "0",
      "mcast_snooping",
      "0",
    )
    // a fixed address: it would change with the first tap that joins
    this.#ip("link", "set", bridge, "address", `52:54:00:77:ff:0${index}`)
    this.#ip("addr", "add", `${this.hostAddress(index)}/24`, "dev", bridge)
    this.#ip("addr", "add", `fd77:5a4e:${index}::1/64`, "dev", bridge, "nodad")
    this.#ip("link", "set", bridge, "up")
  }

  /** Runs a program on the host side of the network. It dies with this process, however that ends. */
  spawn(command: string, args: readonly string[], options: HostOptions = {}): ChildProcess {
    const inside = ["--pdeathsig", "KILL", "ip", "netns", "exec", this.namespace, command, ...args]
    return spawn("setpriv", inside, { stdio: ["ignore", "pipe", "pipe"], ...options })
  }

  /** Runs a program on the host side to its end. */
  async run(command: string, args: readonly string[], options: HostOptions = {}): Promise<Outcome> {
    const child = this.spawn(command, args, options)
    const output = { stdout: "", stderr: "" }
    child.stdout?.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()))
    child.stderr?.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()))
    return await new Promise((resolve, reject) => {
      child.once("error", reject)
      child.once("close", (code) => resolve({ code: code ?? 128, ...output }))
    })
  }

  close(): void {
    if (existsSync(`${NAMESPACES}/${this.namespace}`)) ip("netns", "del", this.namespace)
  }

  #ip(...args: string[]): void {
    ip("-n", this.namespace, ...args)
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] })
}

/** Removes the namespaces of processes that are no more. */
function sweep(): void {
  for (const name of existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : []) {
    const pid = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split("-")[0] : undefined
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) ip("netns", "del", name)
  }
}
