import { statSync } from "node:fs"
import { hostname } from "node:os"
import { join, resolve } from "node:path"
import { SanletError } from "../../src/base/errors.ts"
import type { LogLevel } from "../../src/base/log-level.ts"
import type { Log } from "../../src/base/log.ts"
import { nodeNetwork } from "../../src/base/node-network.ts"
import { systemRandom } from "../../src/base/random.ts"
import type { ServerStatus } from "../../src/control/api/index.ts"
import type { Configuration } from "../../src/control/config/schema.ts"
import type { CacheMode, DeviceConfiguration } from "../../src/control/config/device.ts"
import { stateFolder } from "../../src/control/state-folder.ts"
import { type Server, startServer } from "../../src/server.ts"
import { UsageError } from "../errors.ts"
import { type LogFormat, openLog } from "../log.ts"
import { connectHints } from "../output/connect-hints.ts"
import type { Session } from "../session.ts"
import { print, printJson, tell } from "../terminal.ts"

export interface ServeOptions {
  readonly size?: number
  readonly listen?: readonly { host: string; port: number }[]
  readonly target?: string
  readonly config?: string
  readonly readOnly?: boolean
  readonly cache?: CacheMode
  readonly json?: boolean
  readonly logLevel?: LogLevel
  readonly logFormat?: LogFormat
}

const DEFAULT_SIZE_BYTES = 10 * 2 ** 30

/** Serves until it is told to stop. */
export async function serve(
  images: readonly string[],
  options: ServeOptions,
  session: Session,
): Promise<void> {
  const { terminal, signal } = session
  const { configuration, created } = await configurationOf(images, options, session)
  const { level = "info", format = "auto" } = configuration.log
  const log = await openLog(terminal, options.logLevel ?? level, options.logFormat ?? format)
  const starting = startServer(configuration, {
    network: nodeNetwork,
    clock: terminal.clock,
    random: systemRandom,
    log,
    stateFolder: stateFolder(terminal.env),
  })
  const { config } = options
  if (config !== undefined)
    session.onHangup(
      () =>
        void starting.then(
          (server) => reread(config, server, log, session),
          () => {},
        ),
    )
  const server = await starting
  announce(server, session, options.json === true, created)
  await new Promise<void>((stop) => {
    if (signal.aborted) return stop()
    signal.addEventListener("abort", () => stop(), { once: true })
  })
  log.info({}, "stopping: initiators are asked to log out")
  await server.close()
  log.info({}, "stopped")
}

/** Never rejects: a configuration that isn't right changes nothing. */
async function reread(file: string, server: Server, log: Log, { terminal }: Session): Promise<void> {
  const { loadConfiguration } = await import("../../src/control/config/load.ts")
  let wanted: Configuration
  try {
    wanted = loadConfiguration(file, terminal.env)
  } catch (error) {
    for (const line of (error as Error).message.split("\n")) log.error({}, line)
    return log.error({ file }, "the configuration can't be used, and nothing was changed")
  }
  log.info({ file }, "taking up the configuration as it is now")
  await server.reconfigure(wanted)
}

interface Chosen {
  readonly configuration: Configuration
  /** The embedded default's file, when there is none yet. */
  readonly created?: string
}

async function configurationOf(
  images: readonly string[],
  options: ServeOptions,
  { terminal }: Session,
): Promise<Chosen> {
  if (options.config !== undefined) {
    refuseBeside(images, options)
    const { loadConfiguration } = await import("../../src/control/config/load.ts")
    return { configuration: loadConfiguration(options.config, terminal.env) }
  }
  const defaults = images.length === 0
  const paths = defaults ? [join(stateFolder(terminal.env), "disk.img")] : images
  const created = defaults && !exists(paths[0]!) ? paths[0]! : undefined
  if (created !== undefined) await makeFolder(stateFolder(terminal.env))
  const sizeBytes = options.size ?? (created === undefined ? undefined : DEFAULT_SIZE_BYTES)
  const configuration: Configuration = {
    portals: (options.listen ?? [{ host: "127.0.0.1", port: 3260 }]).map((listen) => ({ listen, group: 1 })),
    targets: [
      {
        name: options.target ?? defaultTargetName(),
        luns: paths.map((path, lun) =>
          isDisc(path)
            ? { lun, type: "cdrom", device: deviceOf(path, undefined, options) }
            : { lun, device: deviceOf(path, sizeBytes, options) },
        ),
      },
    ],
    log: {},
  }
  return { configuration, ...(created !== undefined && { created }) }
}

function refuseBeside(images: readonly string[], options: ServeOptions): void {
  const { size, listen, target, cache, readOnly } = options
  const given = { IMAGE: images[0], "--size": size, "--listen": listen, "--target": target, "--cache": cache }
  const clash = Object.entries({ ...given, "--read-only": readOnly }).find(([, value]) => value !== undefined)
  if (clash) throw new UsageError(`${clash[0]} can't stand beside --config: the file says what is served`)
}

function deviceOf(path: string, sizeBytes: number | undefined, options: ServeOptions): DeviceConfiguration {
  const absolute = resolve(path)
  const { cache = "write-back", readOnly = false } = options
  const found = exists(absolute)
  if (!found && sizeBytes === undefined) {
    throw new UsageError(`${path}: no such file; --size 10G would create it`)
  }
  if (!found && readOnly) throw new UsageError(`${path}: no such file, and --read-only creates none`)
  const device: DeviceConfiguration = found?.isBlockDevice()
    ? { type: "block", path: absolute, cache }
    : { type: "file", path: absolute, cache, ...(sizeBytes !== undefined && { sizeBytes }) }
  return readOnly ? { type: "readonly", on: device } : device
}

/** An ISO image is put into a CD-ROM drive, as virtual machines do it: whoever wants a disk names a configuration. */
const isDisc = (path: string): boolean => /\.iso$/i.test(path) && exists(path)?.isFile() === true

const exists = (path: string) => statSync(path, { throwIfNoEntry: false })

async function makeFolder(path: string): Promise<void> {
  const { mkdir } = await import("node:fs/promises")
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const message = `cannot create ${path} (${code}); name an IMAGE, or set XDG_STATE_HOME`
    throw new SanletError("ERR_STATE_FOLDER", message, { cause: error })
  }
}

/** Unlike any other machine's, and the same at every start. */
function defaultTargetName(): string {
  const host =
    hostname()
      .toLowerCase()
      .replace(/[^a-z0-9.-]/g, "-") || "localhost"
  return `iqn.2026-01.io.github.sanlet:${host.slice(0, 150)}.disk`
}

function announce(server: ServerStatus, { terminal }: Session, json: boolean, created?: string): void {
  for (const unit of server.units) {
    if (json) printJson(terminal, { event: "ready", ...unit, portals: server.portals })
    else print(terminal, `ready ${unit.url}`)
  }
  if (json || !(terminal.err.isTTY || created !== undefined)) return
  tell(terminal, ...connectHints(server, terminal.errStyle, created))
}
