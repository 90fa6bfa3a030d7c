import type { Log, LogFields } from "../src/base/log.ts"
import { Initiator, type InitiatorOptions, type Transport } from "../src/initiator/index.ts"
import { useIser } from "../src/iser.ts"
import type { Session } from "./session.ts"

useIser()

/** What every command that logs in takes. */
export interface LoginOptions {
  /** The initiator's iSCSI name. */
  readonly initiator?: string
  readonly transport?: Transport
}

export function initiatorFor(
  options: LoginOptions,
  { terminal }: Session,
  more: InitiatorOptions = {},
): Initiator {
  return new Initiator({
    ...(options.initiator !== undefined && { name: options.initiator }),
    ...(options.transport !== undefined && { transport: options.transport }),
    environment: terminal.env,
    reconnect: false,
    ...more,
  })
}

/** Where a command that must not fail silently tells of lost connections. */
export function warningsTo(write: (line: string) => void): Log {
  const tell = (fields: LogFields, message: string) =>
    write(`${message}${fields["error"] === undefined ? "" : `: ${String(fields["error"])}`}`)
  return { debug: () => {}, info: () => {}, warn: tell, error: tell }
}
