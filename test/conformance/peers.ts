/**
 * Other people's targets on loopback: Debian's tgtd and istgt, unprivileged, each on a port and with a directory of its
 * own, ended by process id.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, openSync, closeSync, ftruncateSync, rmSync, writeFileSync } from "node:fs"
import { createServer, connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"

export interface Peer {
  readonly name: "tgt" | "istgt"
  readonly port: number
  /** The disk's URL. */
  readonly url: string
  readonly target: string
  readonly lun: number
  /** The disk's file. */
  readonly image: string
  /** Ends it and removes its directory. */
  close(): Promise<void>
  /** Ends the daemon at once (SIGKILL); `start` brings it back with the same disk at the same address. */
  kill(): Promise<void>
  start(): Promise<void>
}

export interface PeerOptions {
  readonly sizeBytes?: number
  /** A file to serve instead of an empty one; it isn't removed. */
  readonly image?: string
  /** One-way CHAP, and with `target` mutual. Only tgt. */
  readonly chap?: {
    readonly user: string
    readonly password: string
    readonly target?: { readonly user: string; readonly password: string }
  }
}

const SIZE_BYTES = 64 * 1024 * 1024

/** Why a program's tests can't run here, in words that say what to install; undefined: it's there. */
export function missingProgram(program: string, debianPackage: string): string | undefined {
  const found = spawnSync("which", [program], { encoding: "utf8" }).status === 0
  return found ? undefined : `${program} is not installed: apt-get install ${debianPackage}`
}

function need(program: string, debianPackage: string): void {
  const missing = missingProgram(program, debianPackage)
  if (missing !== undefined) throw new Error(missing)
}

/** A port nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0))
    })
  })
}

async function untilListening(port: number, daemon: Daemon): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (daemon.ended) throw new Error(`${daemon.title} ended at once: ${daemon.output}`)
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy()
        resolve(true)
      })
      socket.once("error", () => resolve(false))
    })
    if (up) return
    await delay(50)
  }
  throw new Error(`${daemon.title} doesn't listen on port ${port}: ${daemon.output}`)
}

/** A daemon kept in the foreground. */
class Daemon {
  readonly title: string
  output = ""
  ended = false
  readonly #child: ChildProcess
  readonly #end: Promise<void>

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.title = program
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env })
    const keep = (chunk: Buffer) => {
      this.output = (this.output + chunk.toString()).slice(-4000)
    }
    this.#child.stdout?.on("data", keep)
    this.#child.stderr?.on("data", keep)
    this.#end = new Promise((resolve) => {
      this.#child.once("close", () => {
        this.ended = true
        resolve()
      })
      this.#child.once("error", (error) => {
        this.output += error.message
        this.ended = true
        resolve()
      })
    })
  }

  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    if (!this.ended) this.#child.kill(signal)
    const late = delay(3000, "late", { ref: false })
    if ((await Promise.race([this.#end, late])) === "late") {
      this.#child.kill("SIGKILL")
      await this.#end
    }
  }
}

function makeImage(directory: string, options: PeerOptions): string {
  if (options.image !== undefined) return options.image
  const image = join(directory, "disk.img")
  const file = openSync(image, "w")
  ftruncateSync(file, options.sizeBytes ?? SIZE_BYTES)
  closeSync(file)
  return image
}

/** Starts a daemon; `launch` is called again after a kill. */
async function makePeer(
  name: "tgt" | "istgt",
  target: string,
  lun: number,
  options: PeerOptions,
  launch: (port: number, directory: string, image: string) => Promise<Daemon>,
): Promise<Peer> {
  const directory = mkdtempSync(join(tmpdir(), `sanlet-${name}-`))
  const image = makeImage(directory, options)
  const port = await freePort()
  let daemon = await launch(port, directory, image)
  return {
    name,
    port,
    target,
    lun,
    image,
    url: `iscsi://127.0.0.1:${port}/${target}/${lun}`,
    async close() {
      // tgtd doesn't end by SIGTERM as long as it has targets.
      await daemon.stop(name === "tgt" ? "SIGKILL" : "SIGTERM")
      rmSync(directory, { recursive: true, force: true })
    },
    kill: () => daemon.stop("SIGKILL"),
    async start() {
      daemon = await launch(port, directory, image)
    },
  }
}

/** tgtd with a disk at LUN 1; LUN 0 is its controller. */
export function startTgt(options: PeerOptions = {}): Promise<Peer> {
  need("tgtd", "tgt")
  const target = "iqn.2026-01.org.example:tgt"
  return makePeer("tgt", target, 1, options, async (port, directory, image) => {
    // Otherwise its control socket lies in /var/run, which needs root.
    const env = { ...process.env, TGT_IPC_SOCKET: join(directory, "control") }
    const daemon = new Daemon("tgtd", ["-C", "1", "-f", "--iscsi", `portal=127.0.0.1:${port}`], env)
    await untilListening(port, daemon)
    const admin = (...args: string[]) => {
      const done = spawnSync("tgtadm", ["-C", "1", "--lld", "iscsi", ...args], { encoding: "utf8", env })
      if (done.status !== 0) throw new Error(`tgtadm ${args.join(" ")}: ${done.stderr}`)
    }
    try {
      admin("--op", "new", "--mode", "target", "--tid", "1", "-T", target)
      admin("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", image)
      // So that it is the same disk after a restart, and a thin one.
      admin(..."--op update --mode logicalunit --tid 1 --lun 1 --params thin_provisioning=1".split(" "))
      for (const [account, outgoing] of accounts(options)) {
        admin("--op", "new", "--mode", "account", "--user", account.user, "--password", account.password)
        const bind = ["--op", "bind", "--mode", "account", "--tid", "1", "--user", account.user]
        admin(...bind, ...(outgoing ? ["--outgoing"] : []))
      }
      admin("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")
    } catch (error) {
      await daemon.stop("SIGKILL")
      throw error
    }
    return daemon
  })
}

function accounts({ chap }: PeerOptions): [{ user: string; password: string }, boolean][] {
  if (!chap) return []
  return [[chap, false], ...(chap.target ? [[chap.target, true] as [typeof chap.target, boolean]] : [])]
}

/** istgt with a disk at LUN 0. */
export function startIstgt(options: PeerOptions = {}): Promise<Peer> {
  need("istgt", "istgt")
  const target = "iqn.2026-01.org.example:istgt"
  return makePeer("istgt", target, 0, options, async (port, directory, image) => {
    const control = await freePort()
    writeFileSync(join(directory, "auth.conf"), "\n")
    writeFileSync(join(directory, "istgt.conf"), istgtConf(port, control, directory, image))
    const daemon = new Daemon("istgt", ["-c", join(directory, "istgt.conf"), "-D"])
    await untilListening(port, daemon)
    return daemon
  })
}

const istgtConf = (port: number, control: number, directory: string, image: string): string => `[Global]
  NodeBase "iqn.2026-01.org.example"
  PidFile ${directory}/istgt.pid
  AuthFile ${directory}/auth.conf
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 16
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
  AuthMethod None
  AuthGroup None
  Portal UC1 127.0.0.1:${control}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:${port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8
[LogicalUnit1]
  TargetName istgt
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  AuthGroup None
  UseDigest Auto
  UnitType Disk
  QueueDepth 64
  LUN0 Storage ${image} Auto
`
