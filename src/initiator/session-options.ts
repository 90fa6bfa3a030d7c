import type { ChapProof, KeyPreferences } from "../iscsi/login/index.ts"
import type { ScsiRequest, ScsiResult } from "./command.ts"
import type { Transport } from "./iser.ts"
import type { PortalAddress } from "./login.ts"
import type { ReconnectOptions } from "./recovery.ts"
import type { InitiatorServices } from "./services.ts"
import type { SessionEvent } from "./session-event.ts"

export interface SessionOptions {
  readonly portal: PortalAddress
  readonly initiatorName: string
  readonly initiatorAlias?: string
  /** Absent: a discovery session. */
  readonly targetName?: string
  /** 48 bits, unique among the sessions of this initiator name with this target. */
  readonly isid: number
  readonly chap?: ChapProof
  readonly keys?: Partial<KeyPreferences>
  /** Commands under way at once, at most; the target's command window may allow fewer. */
  readonly queueDepth?: number
  /** What to do about a lost connection; false: the session ends with it. */
  readonly reconnect?: ReconnectOptions | false
  readonly nopIntervalMs?: number
  readonly nopDeadlineMs?: number
  readonly loginDeadlineMs?: number
  /** Told what happens besides commands; must not throw. */
  readonly onEvent?: (event: SessionEvent) => void
  /** Default: "auto". */
  readonly transport?: Transport
  readonly services?: Partial<InitiatorServices>
}

/** A logical unit somebody uses: it is looked at again after every recovery, before any command goes there. */
export interface WatchedUnit {
  readonly lun: number
  /** Rejects with UnitChangedError when it isn't the same any more; commands to this LUN fail with it. */
  check(run: (request: ScsiRequest) => Promise<ScsiResult>): Promise<void>
}

/**
 * Where a session is:
 *
 *     open --> recovering --> open            the connection was lost, or the target asked for a logout
 *      |           |
 *      v           v
 *     closing --> closed                      close(), or recovery has given up
 */
export type InitiatorSessionState = "open" | "recovering" | "closing" | "closed"
