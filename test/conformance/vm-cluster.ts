/** Two guests that share disks of a served target: node A over TCP, node B over iSER. */
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import type { Outcome } from "../rig/control.ts"
import { type Guest, Rig } from "../rig/rig.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

/** Persistent reservation types (SPC-4 table 71), registrants only. */
export const WRITE_EXCLUSIVE = 5
export const EXCLUSIVE_ACCESS = 6

const IQN = "iqn.2026-01.org.example:cluster"
const IMAGE_BYTES = 16 * MiB
const WRITE_DELAY_MS = 2500
/** Beyond that delay; commands that were aborted for another nexus are never answered, and are given up then. */
const COMMAND_TIMEOUT_S = 6
const RECOVERY_TRIES = 600

/** Takes up the unit attentions there are, for sg_persist ends with them. */
const awake = (disk: string): string => `for i in 1 2 3; do sg_turs ${disk} >&2 && break; done`

export class Node {
  readonly name: string
  /** Its reservation key, hexadecimal. */
  readonly key: string
  readonly #transport: "tcp" | "iser"
  #guest: Guest | undefined
  #disks: string[] = []

  constructor(name: string, key: string, transport: "tcp" | "iser") {
    this.name = name
    this.key = key
    this.#transport = transport
  }

  get guest(): Guest {
    if (!this.#guest) throw new Error("not started")
    return this.#guest
  }

  async boot(rig: Rig): Promise<void> {
    const driver = this.#transport === "tcp" ? "iscsi_tcp" : "ib_iser"
    this.#guest = await rig.boot({ modules: [driver, "sd_mod", "sg"], memoryMib: 512 })
    if (this.#transport === "iser") await this.guest.sh("rig-rdma siw eth0")
  }

  async logIn(portal: string, luns: number): Promise<void> {
    const iface = this.#transport === "tcp" ? "default" : "iser"
    await this.guest.sh(
      `iscsiadm -m discovery -t st -p ${portal} -I ${iface} && iscsiadm -m node -T ${IQN} -l`,
    )
    for (let lun = 0; lun < luns; lun++) {
      const disk = await this.guest.sh(`rig-disk ${lun} ${IQN}`)
      await this.guest.sh(
        `echo ${COMMAND_TIMEOUT_S} > /sys/block/${disk.replace("/dev/", "")}/device/timeout`,
      )
      this.#disks.push(disk)
    }
  }

  disk(lun: number): string {
    return this.#disks[lun]!
  }

  /** Waits until the kernel has sent so many commands to the disk that it waits for. */
  async hasUnderWay(lun: number, commands: number): Promise<void> {
    const inFlight = `/sys/block/${this.disk(lun).replace("/dev/", "")}/inflight`
    for (let tries = 0; ; tries++) {
      const [reads, writes] = (await this.guest.sh(`cat ${inFlight}`)).trim().split(/\s+/).map(Number)
      if (reads! + writes! >= commands) return
      assert.ok(tries < RECOVERY_TRIES, `${this.guest.name} sends nothing`)
    }
  }

  /** A command that writes block `block` of 4 KiB, past the page cache. */
  write(lun: number, block: number): string {
    return `dd if=/dev/zero of=${this.disk(lun)} bs=4k count=1 seek=${block} oflag=direct conv=notrunc status=none`
  }

  /** A command that writes `byte` to the first blocks, all at once. */
  fill(lun: number, blocks: number, blockBytes: number, byte: number): string {
    const job = `--name=fill --filename=${this.disk(lun)} --rw=write --direct=1 --ioengine=libaio`
    const pattern = byte.toString(16).padStart(2, "0").repeat(4)
    return `fio ${job} --bs=${blockBytes} --size=${blocks * blockBytes} --iodepth=${blocks} --buffer_pattern=0x${pattern}`
  }
}

export class Cluster {
  readonly a = new Node("a", "a1a1", "tcp")
  readonly b = new Node("b", "b2b2", "iser")
  readonly images: readonly string[]
  readonly #scratch = new Scratch()
  #rig: Rig | undefined
  #served: Served | undefined

  constructor() {
    this.images = ["quick.img", "slow.img"].map((name) => this.#scratch.image(name, IMAGE_BYTES))
  }

  async start(): Promise<void> {
    this.#rig = await Rig.start()
    for (const node of [this.a, this.b]) await node.boot(this.#rig)
    await this.#serve()
    for (const node of [this.a, this.b]) await node.logIn(this.#portal, this.images.length)
  }

  async stop(): Promise<void> {
    await this.#served?.stop()
    await this.#rig?.stop()
    this.#scratch.remove()
  }

  get #portal(): string {
    return `${this.#rig!.network.hostAddress()}:3260`
  }

  async #serve(): Promise<void> {
    const [quick, slow] = this.images.map((path) => ({ type: "file", path }))
    const delayed = { type: "delay", on: slow, delaysMs: { write: WRITE_DELAY_MS } }
    const luns = [quick, delayed].map((device, lun) => ({ lun, device, serial: `cluster-${lun}` }))
    const configuration = { portals: [{ listen: this.#portal }], targets: [{ name: IQN, luns }] }
    const file = this.#scratch.configuration("cluster.yaml", configuration)
    const spawn = (command: string, args: readonly string[], env: NodeJS.ProcessEnv) =>
      this.#rig!.network.spawn(command, args, { env })
    this.#served = await serve(["--config", file], { luns: luns.length, spawn })
  }

  /** Kills the server and starts another; both nodes have their sessions again. */
  async restartServer(): Promise<void> {
    await this.#served?.kill()
    await this.#serve()
    for (const { guest } of [this.a, this.b]) {
      for (let tries = 0; ; tries++) {
        const session = await guest.run("iscsiadm -m session -P1")
        if (/iSCSI Session State: LOGGED_IN/.test(session.stdout)) break
        assert.ok(tries < RECOVERY_TRIES, `${guest.name} has no session:\n${session.stdout}`)
        await sleep(100)
      }
    }
  }

  // -------------------------------------------------------------------------- as fence_scsi does it

  /** PERSISTENT RESERVE OUT from a node, past unit attentions; the outcome tells sg_persist's exit code. */
  out(node: Node, lun: number, action: string): Promise<Outcome> {
    const disk = node.disk(lun)
    return node.guest.run(`${awake(disk)}; sg_persist -n -o ${action} -d ${disk}`)
  }

  async must(node: Node, lun: number, action: string): Promise<void> {
    const { code, stdout, stderr } = await this.out(node, lun, action)
    assert.equal(code, 0, `${node.guest.name}: sg_persist ${action}: ${stdout}${stderr}`)
  }

  /** Registers, to outlive a loss of power, and reserves when nobody has. */
  async unfence(node: Node, lun: number): Promise<void> {
    await this.must(node, lun, `-I -S ${node.key} -Z`)
    if (/there is NO reservation held/.test(await this.reservation(node, lun))) {
      await this.must(node, lun, `-R -T ${WRITE_EXCLUSIVE} -K ${node.key}`)
    }
  }

  /** Takes the other one's access away; when it returns nothing of the other one's is under way. */
  fence(node: Node, other: Node, lun: number): Promise<void> {
    return this.must(node, lun, `-A -T ${WRITE_EXCLUSIVE} -K ${node.key} -S ${other.key}`)
  }

  /** Registered keys, hexadecimal, in order. */
  async keys(node: Node, lun: number): Promise<string[]> {
    const text = await node.guest.sh(`${awake(node.disk(lun))}; sg_persist -n -i -k -d ${node.disk(lun)}`)
    return [...text.matchAll(/^\s+0x([0-9a-f]+)$/gm)].map(([, key]) => key!).sort()
  }

  reservation(node: Node, lun: number): Promise<string> {
    return node.guest.sh(`${awake(node.disk(lun))}; sg_persist -n -i -r -d ${node.disk(lun)}`)
  }
}
