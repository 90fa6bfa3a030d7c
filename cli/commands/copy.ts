import { statSync } from "node:fs"
import { unlink } from "node:fs/promises"
import { resolve } from "node:path"
import { BlockSpecialStore, FileStore } from "../../src/backstore/index.ts"
import { SanletError } from "../../src/base/errors.ts"
import { compare, copy, type CopyOptions, type CopyProgress } from "../../src/control/copy/copy.ts"
import { type CopyEnd, DeviceEnd } from "../../src/control/copy/copy-end.ts"
import { LunEnd } from "../../src/control/copy/lun-end.ts"
import { located } from "../../src/control/located.ts"
import { formatBytes } from "../../src/control/sizes.ts"
import { formatIscsiUrl, parseDiskUrl } from "../../src/initiator/index.ts"
import { services } from "../../src/initiator/services.ts"
import { UnwelcomeResult, UsageError } from "../errors.ts"
import { ExitCode } from "../exit-codes.ts"
import { initiatorFor, type LoginOptions, warningsTo } from "../initiator.ts"
import { formatRate, formatSeconds } from "../output/numbers.ts"
import { LiveLine, progressLine, RateMeter } from "../output/progress.ts"
import type { Session } from "../session.ts"
import { print, printJson, tell } from "../terminal.ts"

export interface CopyCommandOptions extends LoginOptions {
  readonly depth: number
  readonly piece: number
  readonly verify?: boolean
  readonly force?: boolean
  readonly json?: boolean
}

/** Copies a disk: file to LUN, LUN to file, LUN to LUN, file to file. */
export async function copyDisk(
  from: string,
  to: string,
  options: CopyCommandOptions,
  session: Session,
): Promise<void> {
  if (options.piece % 4096 !== 0) throw new UsageError("--piece must be a multiple of 4096 bytes")
  const source = await openSource(from, options, session)
  try {
    await copyFrom(source, to, options, session)
  } finally {
    await source.close()
  }
}

async function copyFrom(
  source: CopyEnd,
  to: string,
  options: CopyCommandOptions,
  session: Session,
): Promise<void> {
  const { end: target, created } = await openTarget(to, source.sizeBytes, options, session)
  let finished = false
  try {
    const startedMs = session.terminal.clock.nowMs()
    const done = await watched("copying", session, (watch) =>
      copy(source, target, { ...pace(options), ...watch }),
    )
    const copyMs = session.terminal.clock.nowMs() - startedMs
    finished = true
    const equal = options.verify ? await verify(source, target, options, session) : undefined
    summarize(source, target, done, copyMs, equal, options.json === true, session)
  } finally {
    await target.close()
    // Half a copy under the name of a whole one would be taken for it.
    if (created !== undefined && !finished) await unlink(created).catch(() => {})
  }
}

const pace = ({ depth, piece }: CopyCommandOptions) => ({ depth, pieceBytes: piece })

async function verify(
  source: CopyEnd,
  target: CopyEnd,
  options: CopyCommandOptions,
  session: Session,
): Promise<true> {
  const difference = await watched("verifying", session, (watch) =>
    compare(source, target, { ...pace(options), ...watch }),
  )
  if (difference === undefined) return true
  const { terminal } = session
  const where = `byte ${difference.offsetBytes}`
  if (options.json) printJson(terminal, { equal: false, differsAtByte: difference.offsetBytes })
  tell(terminal, `${terminal.errStyle.red("sanlet:")} ${target.name} differs from ${source.name} at ${where}`)
  throw new UnwelcomeResult(ExitCode.different)
}

/** Runs a job with its progress at the foot of the terminal. */
async function watched<T>(
  what: string,
  { terminal, signal }: Session,
  run: (watch: Pick<CopyOptions, "onProgress" | "signal">) => Promise<T>,
): Promise<T> {
  const line = new LiveLine(terminal.err, terminal.clock)
  const meter = new RateMeter(terminal.clock)
  const onProgress = ({ doneBytes, totalBytes }: CopyProgress) => {
    line.update(() => {
      const state = { doneBytes, totalBytes, bytesPerSecond: meter.update(doneBytes) }
      return progressLine(what, state, line.columns, terminal.errStyle)
    })
  }
  try {
    return await run({ onProgress, signal })
  } finally {
    line.clear()
  }
}

function summarize(
  source: CopyEnd,
  target: CopyEnd,
  { totalBytes, dataBytes, zeroBytes }: CopyProgress,
  copyMs: number,
  equal: true | undefined,
  json: boolean,
  { terminal }: Session,
): void {
  const bytesPerSecond = copyMs > 0 ? (totalBytes * 1000) / copyMs : 0
  if (json) {
    const verified = equal ? { equal } : {}
    const amounts = { totalBytes, dataBytes, zeroBytes, seconds: copyMs / 1000, bytesPerSecond }
    return printJson(terminal, { source: source.name, target: target.name, ...amounts, ...verified })
  }
  const parts = `${formatBytes(dataBytes)} of data, ${formatBytes(zeroBytes)} of zeroes`
  const speed = `${formatSeconds(copyMs / 1000)}, ${formatRate(bytesPerSecond)}`
  const verified = equal ? terminal.style.green("; verified, both are equal") : ""
  print(terminal, `copied ${formatBytes(totalBytes)} (${parts}) in ${speed}${verified}`)
}

const isUrl = (text: string): boolean => /^[a-z]+:\/\//i.test(text)

async function openLun(url: string, options: CopyCommandOptions, session: Session): Promise<LunEnd> {
  const { terminal, signal } = session
  const where = parseDiskUrl(url, terminal.env)
  const log = warningsTo((line) => tell(terminal, `${terminal.errStyle.yellow("sanlet:")} ${line}`))
  const initiator = initiatorFor(options, session, { reconnect: {}, services: services({ log }) })
  const name = formatIscsiUrl(where)
  return new LunEnd(await located(name, initiator.open(where, { signal })), name)
}

async function openSource(from: string, options: CopyCommandOptions, session: Session): Promise<CopyEnd> {
  if (isUrl(from)) return openLun(from, options, session)
  const path = resolve(from)
  const isBlock = statSync(path, { throwIfNoEntry: false })?.isBlockDevice() ?? false
  const store = isBlock ? BlockSpecialStore : FileStore
  return new DeviceEnd(await store.open(path, { readOnly: true }), false)
}

interface OpenTarget {
  readonly end: CopyEnd
  /** The file, if there was none. */
  readonly created?: string
}

async function openTarget(
  to: string,
  sizeBytes: number,
  options: CopyCommandOptions,
  session: Session,
): Promise<OpenTarget> {
  if (isUrl(to)) return { end: await openLun(to, options, session) }
  const path = resolve(to)
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) {
    return {
      end: new DeviceEnd(await FileStore.open(path, { sizeBytes, create: true }), true),
      created: path,
    }
  }
  if (!options.force) throw new SanletError("ERR_COPY_EXISTS", `${to} exists already; --force overwrites it`)
  if (found.isBlockDevice()) return { end: new DeviceEnd(await BlockSpecialStore.open(path), false) }
  // An empty file can be given a size like a new one.
  if (found.size === 0)
    return { end: new DeviceEnd(await FileStore.open(path, { sizeBytes, create: true }), true) }
  const device = await FileStore.open(path)
  if (device.sizeBytes !== sizeBytes) await device.resize(sizeBytes)
  return { end: new DeviceEnd(device, false) }
}
