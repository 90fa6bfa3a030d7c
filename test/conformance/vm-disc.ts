/** ISO images with known files, and a target whose media are changed by its configuration file while it is served. */
import { createHash, randomBytes } from "node:crypto"
import { mkdirSync, statSync, writeFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { succeed } from "./command.ts"
import { MiB, type Scratch, serve, type Served } from "./serve.ts"
import type { KernelInitiator } from "./vm-kernel.ts"

const SAID_DEADLINE_MS = 20_000

export interface Disc {
  readonly path: string
  readonly sizeBytes: number
  /** What `sha256sum -c` takes, with paths below the disc's root. */
  readonly sums: string
}

/** A disc with ISO 9660 (Rock Ridge, Joliet) and UDF over the same files. */
export async function makeDisc(scratch: Scratch, label: string): Promise<Disc> {
  const tree = scratch.path(`${label}.tree`)
  mkdirSync(`${tree}/a folder/deeper`, { recursive: true })
  const files = [
    ["read me.txt", Buffer.from(`this is ${label}\n`)],
    ["a folder/random.bin", randomBytes(3 * MiB + 1)],
    ["a folder/deeper/empty", Buffer.alloc(0)],
  ] as const
  for (const [name, content] of files) writeFileSync(`${tree}/${name}`, content)
  const path = scratch.path(`${label}.iso`)
  await succeed("genisoimage", "-quiet", "-V", label, "-r", "-J", "-udf", "-o", path, tree)
  const sums = files
    .map(([name, content]) => `${createHash("sha256").update(content).digest("hex")}  ${name}`)
    .join("\n")
  return { path, sizeBytes: statSync(path).size, sums: `${sums}\n` }
}

/** `sanlet serve` with one target, on the host side of the kernel's network. */
export class ReconfiguredTarget {
  readonly portal: string
  readonly #kernel: KernelInitiator
  readonly #iqn: string
  #served: Served | undefined
  #file = ""

  constructor(kernel: KernelInitiator, iqn: string) {
    this.#kernel = kernel
    this.#iqn = iqn
    this.portal = `${kernel.rig.network.hostAddress()}:3260`
  }

  async start(luns: readonly object[]): Promise<void> {
    this.#write(luns)
    const { network } = this.#kernel.rig
    this.#served = await serve(["--config", this.#file], {
      luns: luns.length,
      spawn: (command, args, env) => network.spawn(command, args, { env }),
    })
    await this.#kernel.discover(this.portal)
    await this.#kernel.login(this.#iqn)
  }

  /** Has it take up a configuration with these units; resolves when it has said this of it. */
  async takeUp(luns: readonly object[], says: RegExp): Promise<void> {
    const served = this.#served!
    const before = served.output.length
    this.#write(luns)
    served.child.kill("SIGHUP")
    for (let waitedMs = 0; !says.test(served.output.slice(before)); waitedMs += 50) {
      if (waitedMs > SAID_DEADLINE_MS)
        throw new Error(`it hasn't said ${says}:\n${served.output.slice(before)}`)
      await sleep(50)
    }
  }

  async stop(): Promise<void> {
    await this.#served?.stop()
  }

  #write(luns: readonly object[]): void {
    const portals = [{ listen: this.portal }]
    const targets = [{ name: this.#iqn, luns }]
    this.#file = this.#kernel.scratch.configuration("media.yaml", { portals, targets })
  }
}
