import { hostName } from "../base/host.ts"
import type { Random } from "../base/random.ts"
import type { ChapProof, KeyPreferences } from "../iscsi/login/index.ts"
import type { DiskOptions } from "./disk-options.ts"
import type { Transport } from "./iser.ts"
import type { PortalAddress } from "./login.ts"
import type { ReconnectOptions } from "./recovery.ts"
import { type InitiatorServices, services } from "./services.ts"
import { Session } from "./session.ts"
import type { SessionEvent } from "./session-event.ts"
import { type IscsiUrl, parseDiskUrl, type UrlEnvironment } from "./url.ts"

/** Who an initiator is, and how it behaves. */
export interface InitiatorOptions {
  /** iSCSI name; default: made of the host's name. */
  readonly name?: string
  /** A name for people. */
  readonly alias?: string
  /** How it proves itself where a URL doesn't say. */
  readonly chap?: ChapProof
  /** What it negotiates; default: initiatorKeyPreferences. */
  readonly keys?: Partial<KeyPreferences>
  /** What connections run over. Default: what a URL says (iser://), else "auto". */
  readonly transport?: Transport
  readonly queueDepth?: number
  readonly reconnect?: ReconnectOptions | false
  /** From the last sign of life to a NOP-Out; 0: never. */
  readonly nopIntervalMs?: number
  readonly nopDeadlineMs?: number
  readonly loginDeadlineMs?: number
  /** Where URLs find CHAP secrets they don't carry; default: process.env. */
  readonly environment?: UrlEnvironment
  readonly onEvent?: (event: SessionEvent) => void
  readonly services?: Partial<InitiatorServices>
}

/** A disk, without a URL. */
export type DiskLocation = IscsiUrl & { readonly target: string; readonly lun: number }

export interface OpenOptions extends InitiatorOptions, DiskOptions {
  readonly signal?: AbortSignal
}

/** The initiator name of a process that names none: the same for all of a host, as for libiscsi's programs. */
export function defaultInitiatorName(): string {
  const host =
    hostName()
      .toLowerCase()
      .replace(/[^a-z0-9.-]/g, "-") || "localhost"
  return `iqn.2026-01.io.github.sanlet:${host.slice(0, 150)}`
}

/** An ISID of the random kind (RFC 7143 §11.12.5): type 10b, 24 random bits, and a random qualifier. */
export function randomIsid(random: Random): number {
  return 0x80 * 2 ** 40 + random.uint32() * 2 ** 8 + (random.uint32() & 0xff)
}

/** Logs in to where a URL leads. */
export async function openSession(
  where: string | DiskLocation,
  options: OpenOptions,
): Promise<{ session: Session; lun: number; unitSerialNumber: string | undefined }> {
  const url = typeof where === "string" ? parseDiskUrl(where, options.environment ?? process.env) : where
  const session = await logInTo(url, url.target, options, options.signal)
  return { session, lun: url.lun, unitSerialNumber: url.unitSerialNumber }
}

/** A session with a target; without one, a discovery session. */
export function logInTo(
  at: PortalAddress & Pick<IscsiUrl, "chap" | "headerDigest" | "dataDigest" | "transport">,
  target: string | undefined,
  options: InitiatorOptions,
  signal: AbortSignal | undefined,
): Promise<Session> {
  const own = services(options.services)
  const chap = at.chap ?? options.chap
  const transport = options.transport ?? at.transport
  const keys = {
    ...options.keys,
    ...(at.headerDigest && { headerDigest: [at.headerDigest] }),
    ...(at.dataDigest && { dataDigest: [at.dataDigest] }),
  }
  const { alias, queueDepth, reconnect, nopIntervalMs, nopDeadlineMs, loginDeadlineMs, onEvent } = options
  return Session.open(
    {
      portal: { host: at.host, port: at.port },
      initiatorName: options.name ?? defaultInitiatorName(),
      ...(alias !== undefined && { initiatorAlias: alias }),
      ...(target !== undefined && { targetName: target }),
      isid: randomIsid(own.random),
      ...(chap && { chap }),
      keys,
      ...(transport && { transport }),
      ...(queueDepth !== undefined && { queueDepth }),
      ...(reconnect !== undefined && { reconnect }),
      ...(nopIntervalMs !== undefined && { nopIntervalMs }),
      ...(nopDeadlineMs !== undefined && { nopDeadlineMs }),
      ...(loginDeadlineMs !== undefined && { loginDeadlineMs }),
      ...(onEvent && { onEvent }),
      services: own,
    },
    signal,
  )
}
