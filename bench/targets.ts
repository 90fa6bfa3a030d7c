/** The targets that are compared, each serving a file of its own on loopback with its own defaults. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { run, succeed } from "../test/conformance/command.ts"
import { serve } from "../test/conformance/serve.ts"

export interface BenchTarget {
  readonly name: string
  readonly url: string
  /** Resident memory of its process, in bytes. */
  readonly child: ChildProcess
  stop(): Promise<void>
}

export type StartTarget = (image: string, folder: string) => Promise<BenchTarget>

/** A port nobody listened on a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address ? address.port : 0
}

async function listening(port: number, child: ChildProcess, name: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`)
    const socket = connect(port, "127.0.0.1")
    const open = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await sleep(100)
  }
  throw new Error(`${name} does not listen`)
}

/** Starts a daemon in the foreground; SIGKILL ends it, since tgtd ignores the rest. */
async function daemon(
  command: string,
  args: readonly string[],
): Promise<{ child: ChildProcess; stop: () => Promise<void> }> {
  const child = spawn(command, args, { stdio: "ignore" })
  await once(child, "spawn")
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, "exit")
    child.kill("SIGKILL")
    await ended
  }
  return { child, stop }
}

const sanlet: StartTarget = async (image) => {
  const served = await serve([image, "--listen", "127.0.0.1:0"])
  const stop = async (): Promise<void> => {
    await served.stop()
  }
  return { name: "sanlet", url: served.url, child: served.child, stop }
}

const tgt: StartTarget = async (image) => {
  const port = await freePort()
  const control = String(10_000 + (process.pid % 20_000))
  const { child, stop } = await daemon("tgtd", ["-f", "-C", control, "--iscsi", `portal=127.0.0.1:${port}`])
  await listening(port, child, "tgtd")
  const adm = (op: string, ...args: string[]): Promise<string> =>
    succeed("tgtadm", "-C", control, "--lld", "iscsi", "--op", op, ...args)
  const iqn = "iqn.2026-01.org.example:tgt"
  await adm("new", "--mode", "target", "--tid", "1", "-T", iqn)
  await adm("new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", image)
  await adm("bind", "--mode", "target", "--tid", "1", "-I", "ALL")
  return { name: "tgt", url: `iscsi://127.0.0.1:${port}/${iqn}/1`, child, stop }
}

const istgtConfiguration = (folder: string, image: string, port: number, controlPort: number): string => `
[Global]
  NodeBase "iqn.2026-01.org.example"
  PidFile ${folder}/istgt.pid
  AuthFile ${folder}/istgt-auth.conf
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
  Portal UC1 127.0.0.1:${controlPort}
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

const istgt: StartTarget = async (image, folder) => {
  const port = await freePort()
  const configuration = join(folder, "istgt.conf")
  writeFileSync(join(folder, "istgt-auth.conf"), "\n", { mode: 0o600 })
  writeFileSync(configuration, istgtConfiguration(folder, image, port, await freePort()))
  const { child, stop } = await daemon("istgt", ["-c", configuration, "-D"])
  await listening(port, child, "istgt")
  return { name: "istgt", url: `iscsi://127.0.0.1:${port}/iqn.2026-01.org.example:istgt/0`, child, stop }
}

export const starts: Readonly<Record<string, StartTarget>> = { sanlet, tgt, istgt }

/** "tgt 1:1.0.85-1" and the like, for the record. */
export async function versionOf(name: string): Promise<string> {
  if (name === "sanlet") return `sanlet, Node ${process.version}`
  const { code, stdout } = await run("dpkg-query", ["-W", "-f", "${Package} ${Version}", name])
  return code === 0 ? stdout : name
}
