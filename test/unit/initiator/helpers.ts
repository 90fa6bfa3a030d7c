import {
  Disk,
  type DiskOptions,
  Session,
  type SessionEvent,
  type SessionOptions,
} from "../../../src/initiator/index.ts"
import { PORT, type ScriptedTarget } from "./scripted-target.ts"

export const TARGET = "iqn.2026-01.org.example:scripted"

/** A session with the scripted target, and what it tells. */
export async function openSession(
  target: ScriptedTarget,
  options: Partial<SessionOptions> = {},
): Promise<{ session: Session; events: SessionEvent[] }> {
  const events: SessionEvent[] = []
  const session = await target.run(
    Session.open({
      portal: { host: "10.0.0.1", port: PORT },
      initiatorName: "iqn.2026-01.org.example:tester",
      targetName: TARGET,
      isid: 0x8000_1234_0001,
      services: target.services,
      onEvent: (event) => events.push(event),
      ...options,
    }),
  )
  return { session, events }
}

/** A disk on it; the commands of its setup are forgotten. */
export async function openDisk(
  target: ScriptedTarget,
  options: Partial<SessionOptions> = {},
  diskOptions: DiskOptions = {},
): Promise<{ disk: Disk; session: Session; events: SessionEvent[] }> {
  const { session, events } = await openSession(target, options)
  const disk = await target.run(
    Disk.on(session, 0, { onEvent: (event) => events.push(event), ...diskOptions }),
  )
  target.commands.length = 0
  return { disk, session, events }
}

/** How a promise ends, without its rejection being anybody's. */
export async function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "fulfilled",
    (error: unknown) => error,
  )
}

export const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code
