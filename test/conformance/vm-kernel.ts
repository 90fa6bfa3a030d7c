/** The Linux kernel's initiator in a virtual machine, over TCP or over iSER on siw, and a target for it to use. */
import { type Guest, Rig } from "../rig/rig.ts"
import { Scratch } from "./serve.ts"
import { type KernelTarget, kernelTarget, type TargetOptions } from "./vm-target.ts"

/** open-iscsi's names of its interfaces. */
const INTERFACES = { tcp: "default", iser: "iser" } as const

export class KernelInitiator {
  readonly transport: "tcp" | "iser"
  readonly scratch = new Scratch()
  readonly #targets: KernelTarget[] = []
  #rig: Rig | undefined
  #guest: Guest | undefined

  constructor(transport: "tcp" | "iser") {
    this.transport = transport
  }

  get rig(): Rig {
    if (!this.#rig) throw new Error("not started")
    return this.#rig
  }

  get guest(): Guest {
    if (!this.#guest) throw new Error("not started")
    return this.#guest
  }

  async start(): Promise<void> {
    this.#rig = await Rig.start()
    const driver = this.transport === "tcp" ? "iscsi_tcp" : "ib_iser"
    this.#guest = await this.#rig.boot({ modules: [driver, "sd_mod", "sg"] })
    if (this.transport === "iser") await this.#guest.sh("rig-rdma siw eth0")
  }

  async stop(): Promise<void> {
    for (const target of this.#targets) await target.stop()
    await this.#rig?.stop()
    this.scratch.remove()
  }

  /** Starts a target with no session or record left of the one before. */
  async startTarget(options: TargetOptions): Promise<KernelTarget> {
    await this.guest.run("iscsiadm -m node -u; iscsiadm -m node -o delete; iscsiadm -m discoverydb -o delete")
    const target = kernelTarget(this.rig, this.scratch, options)
    this.#targets.push(target)
    await target.start()
    return target
  }

  /** Asks the portal for its targets; they are on record from then on. */
  discover(portal: string): Promise<string> {
    return this.guest.sh(`iscsiadm -m discovery -t st -p ${portal} -I ${INTERFACES[this.transport]}`)
  }

  /** Puts a target on record without asking. */
  record(iqn: string, portal: string): Promise<string> {
    return this.guest.sh(`iscsiadm -m node -T ${iqn} -p ${portal} -I ${INTERFACES[this.transport]} -o new`)
  }

  setKey(iqn: string, key: string, value: string): Promise<string> {
    return this.guest.sh(`iscsiadm -m node -T ${iqn} -o update -n '${key}' -v '${value}'`)
  }

  login(iqn: string): Promise<string> {
    return this.guest.sh(`iscsiadm -m node -T ${iqn} -l`)
  }

  logout(iqn: string): Promise<string> {
    return this.guest.sh(`iscsiadm -m node -T ${iqn} -u && iscsiadm -m node -T ${iqn} -o delete`)
  }

  /** The node of a session's disk; waits for it. */
  disk(iqn: string, lun: number): Promise<string> {
    return this.guest.sh(`rig-disk ${lun} ${iqn}`)
  }

  /** Task management functions the session has sent. */
  async taskManagement(): Promise<number> {
    const statistics = await this.guest.sh("iscsiadm -m session -s")
    return Number(/tmfcmd_pdus: (\d+)/.exec(statistics)?.[1] ?? Number.NaN)
  }
}
