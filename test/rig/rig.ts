/**
 * Real Linux kernels as peers: guests under qemu's software emulation, on a network of their own with programs of the
 * host. A guest is up in three seconds and keeps nothing. See README.md.
 *
 *     const rig = await Rig.start()
 *     const guest = await rig.boot()
 *     const target = rig.network.spawn("tgtd", [...])
 *     await guest.sh(`iscsiadm -m discovery -t st -p ${rig.network.hostAddress()}`)
 *     await rig.stop()
 */
import { type ChildProcess, execFileSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Control, type Outcome, type RunOptions } from "./control.ts"
import { buildImages } from "./images.ts"
import { writeInitrd } from "./initrd.ts"
import { TestNetwork } from "./network.ts"

export interface GuestOptions {
  /** 1 to 200; its name is g1, its address 10.77.N.11 on NIC N. Default: the next free one. */
  readonly number?: number
  /** Default 768. */
  readonly memoryMib?: number
  /** Default 1. */
  readonly nics?: number
  /** Kernel modules to load at boot. */
  readonly modules?: readonly string[]
}

const CONTROL_PORTS = 4
const BOOT_DEADLINE_MS = 120_000
const CONSOLE_LINES_SHOWN = 25
/**
 * What emulation runs fastest: "max" has ERMS (rep movsb, three times slower copies under TCG) and AVX (helper calls).
 */
const EMULATED_CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"
const KERNEL_ARGUMENTS =
  "console=ttyS0,115200 quiet panic=-1 net.ifnames=0 mitigations=off nokaslr nowatchdog random.trust_cpu=on " +
  "cryptomgr.notests 8250.nr_uarts=1 no_timer_check"

export class Guest {
  readonly name: string
  readonly number: number
  readonly #folder: string
  readonly #qemu: ChildProcess
  #control: Control | undefined
  #ended = false

  constructor(number: number, folder: string, qemu: ChildProcess) {
    this.number = number
    this.name = `g${number}`
    this.#folder = folder
    this.#qemu = qemu
    qemu.once("exit", () => {
      this.#ended = true
    })
  }

  /** Waits for the guest to answer. */
  async ready(): Promise<void> {
    const giveUp = Date.now() + BOOT_DEADLINE_MS
    const paths = Array.from({ length: CONTROL_PORTS }, (_, i) => join(this.#folder, `control.${i}`))
    while (!this.#ended && Date.now() < giveUp && !(await this.#answers("qmp"))) await sleep(50)
    const late = AbortSignal.timeout(BOOT_DEADLINE_MS)
    const opened = Control.open(paths)
    const tooLate = once(late, "abort").then(() => Promise.reject(new Error("no answer in time")))
    this.#control = await Promise.race([opened, tooLate]).catch((error: unknown) => this.#blame(error))
  }

  /** Whether qemu listens on its socket `name` yet. */
  async #answers(name: string): Promise<boolean> {
    const socket = connect(join(this.#folder, name))
    return await new Promise((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    }).then((answered) => {
      socket.destroy()
      return answered === true
    })
  }

  /** Runs bash in the guest; the outcome tells its exit code, whatever it is. */
  async run(command: string, options: RunOptions = {}): Promise<Outcome> {
    if (!this.#control) throw new Error(`${this.name} is not up`)
    return await this.#control.run(command, options).catch((error: unknown) => this.#blame(error))
  }

  /** Runs bash in the guest and returns its output; throws when its exit code isn't 0. */
  async sh(command: string, options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, options)
    if (code === 0) return stdout.trimEnd()
    throw new Error(
      `${this.name}: exit code ${code} of: ${command}\n${stdout}${stderr}${await this.#kernelLog()}`,
    )
  }

  /** Writes a file in the guest. */
  async write(path: string, content: Uint8Array | string): Promise<void> {
    await this.sh(`cat > '${path}'`, { stdin: typeof content === "string" ? Buffer.from(content) : content })
  }

  /** Pulls the cable of a NIC, or plugs it. */
  async link(nic: number, up: boolean): Promise<void> {
    const socket = connect(join(this.#folder, "qmp")).setEncoding("utf8")
    await once(socket, "data")
    const ask = async (request: object): Promise<void> => {
      socket.write(`${JSON.stringify(request)}\n`)
      const [answer] = (await once(socket, "data")) as [string]
      if (!answer.includes('"return"')) throw new Error(`qemu: ${answer}`)
    }
    await ask({ execute: "qmp_capabilities" })
    await ask({ execute: "set_link", arguments: { name: `nic${nic}`, up } })
    socket.destroy()
  }

  /** The last lines of the guest's console. */
  console(): string {
    const read = (name: string): string => readFileSync(join(this.#folder, name), "utf8").trimEnd()
    try {
      return `${read("qemu.log")}\n${read("console.log")}`.split("\n").slice(-CONSOLE_LINES_SHOWN).join("\n")
    } catch {
      return ""
    }
  }

  kill(): void {
    this.#control?.close()
    this.#qemu.kill("SIGKILL")
  }

  async #kernelLog(): Promise<string> {
    const { stdout } = await this.run("dmesg | tail -15", { deadlineMs: 10_000 })
    return `\nkernel log:\n${stdout}`
  }

  #blame(error: unknown): never {
    throw new Error(`${this.name}: ${error instanceof Error ? error.message : error}\n${this.console()}`)
  }
}

export class Rig {
  readonly network: TestNetwork
  /** A folder that goes away with the rig. */
  readonly folder: string
  readonly #images: string
  readonly #guests: Guest[] = []
  readonly #onExit = (): void => this.#clear()

  private constructor(images: string) {
    this.#images = images
    this.network = new TestNetwork()
    this.folder = mkdtempSync(join(tmpdir(), "sanlet-rig-"))
    process.once("exit", this.#onExit)
    // a runner that loses patience sends SIGTERM: leave by way of "exit", where everything is cleared
    process.once("SIGTERM", exitQuietly)
  }

  /** Makes the network, and the images when they are missing. Throws with what this machine lacks. */
  static async start(): Promise<Rig> {
    if (process.getuid?.() !== 0) throw new Error("the virtual machine's network needs root")
    for (const tool of ["qemu-system-x86_64", "ip", "setpriv"]) needs(tool)
    return new Rig(await buildImages((line) => console.log(line)))
  }

  /** Boots a guest and waits until it takes commands. */
  async boot({
    number = this.#guests.length + 1,
    memoryMib = 768,
    nics = 1,
    modules = [],
  }: GuestOptions = {}): Promise<Guest> {
    const folder = mkdtempSync(join(this.folder, `g${number}-`))
    writeInitrd(this.#images, join(folder, "initrd"))
    const addresses = Array.from({ length: nics }, (_, nic) => {
      return `${this.network.guestAddress(number, nic)}/24+${this.network.guestAddress6(number, nic)}/64`
    })
    const settings = `rig.name=g${number} rig.ips=${addresses.join(",")} rig.load=${modules.join(",")}`
    const args = this.#machine(folder, memoryMib, `${KERNEL_ARGUMENTS} ${settings}`)
    for (let nic = 0; nic < nics; nic++) args.push(...this.#nic(number, nic))
    const command = ["-c", 'log=$1; shift; exec "$@" > "$log" 2>&1', "sh", join(folder, "qemu.log"), ...args]
    const guest = new Guest(number, folder, this.network.spawn("sh", command, { stdio: "ignore" }))
    this.#guests.push(guest)
    await guest.ready()
    return guest
  }

  #machine(folder: string, memoryMib: number, append: string): string[] {
    const image = (name: string): string =>
      `file=${join(this.#images, name)},if=none,format=qcow2,snapshot=on,cache=unsafe`
    const args = [
      "qemu-system-x86_64",
      "-M",
      "q35,vmport=off,hpet=off",
      "-accel",
      "tcg,thread=multi,tb-size=256",
    ]
    args.push("-cpu", EMULATED_CPU, "-smp", "1", "-m", String(memoryMib))
    args.push("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")
    args.push("-kernel", join(this.#images, "vmlinux"), "-initrd", join(folder, "initrd"), "-append", append)
    args.push("-serial", `file:${join(folder, "console.log")}`)
    args.push("-qmp", `unix:${join(folder, "qmp")},server=on,wait=off`)
    args.push(
      "-drive",
      `id=root,${image("root.qcow2")}`,
      "-device",
      "virtio-blk-pci,drive=root,disable-legacy=on",
    )
    args.push(
      "-drive",
      `id=mods,${image("modules.qcow2")}`,
      "-device",
      "virtio-blk-pci,drive=mods,disable-legacy=on",
    )
    args.push("-device", "virtio-rng-pci", "-device", `virtio-serial-pci,max_ports=${CONTROL_PORTS + 1}`)
    for (let i = 0; i < CONTROL_PORTS; i++) {
      args.push("-chardev", `socket,id=c${i},path=${join(folder, `control.${i}`)},server=on,wait=off`)
      args.push("-device", `virtserialport,chardev=c${i},name=rig.${i}`)
    }
    return args
  }

  #nic(guestNumber: number, nic: number): string[] {
    const tap = this.network.addTap(guestNumber, nic)
    const mac = `52:54:00:77:${guestNumber.toString(16).padStart(2, "0")}:0${nic}`
    const device = `virtio-net-pci,netdev=n${nic},id=nic${nic},mac=${mac},disable-legacy=on,speed=10000,duplex=full,romfile=`
    return ["-netdev", `tap,id=n${nic},ifname=${tap},script=no,downscript=no,vhost=off`, "-device", device]
  }

  /** Ends the guests and takes the network away. */
  async stop(): Promise<void> {
    process.off("exit", this.#onExit)
    process.off("SIGTERM", exitQuietly)
    this.#clear()
  }

  #clear(): void {
    for (const guest of this.#guests) guest.kill()
    this.network.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function exitQuietly(): void {
  process.exit(143)
}

/** Throws, naming the program, when it isn't installed. */
export function needs(tool: string): void {
  try {
    execFileSync("sh", ["-c", 'command -v "$1"', "sh", tool], { stdio: "ignore" })
  } catch {
    throw new Error(`${tool} is not installed: npm run test:all installs what it can, as root on Debian`)
  }
}
