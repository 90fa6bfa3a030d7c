import type { Random } from "../base/random.ts"
import type { TargetSession } from "../iscsi/session/target-session.ts"

/** What makes two logins one session (RFC 7143 §4.4.3): the initiator port and the target portal group. */
export interface SessionKey {
  readonly initiatorName: string
  readonly isid: number
  /** Undefined for discovery sessions. */
  readonly targetName: string | undefined
  readonly portalGroupTag: number
}

/** Every session of a network entity, found by its key or its TSIH. */
export class SessionRegistry {
  readonly #byTsih = new Map<number, TargetSession>()
  readonly #byKey = new Map<string, TargetSession>()
  readonly #perTarget = new Map<string, number>()
  #lastTsih: number

  constructor(random: Random) {
    this.#lastTsih = random.uint32() & 0xffff
  }

  get all(): Iterable<TargetSession> {
    return this.#byTsih.values()
  }

  get size(): number {
    return this.#byTsih.size
  }

  /** The sessions of one target; undefined: discovery sessions. */
  count(targetName: string | undefined): number {
    return this.#perTarget.get(targetName ?? "") ?? 0
  }

  find(key: SessionKey): TargetSession | undefined {
    return this.#byKey.get(keyText(key))
  }

  byTsih(tsih: number): TargetSession | undefined {
    return this.#byTsih.get(tsih)
  }

  /** A handle no session has; undefined when all 65,535 are taken. */
  freeTsih(): number | undefined {
    for (let i = 0; i < 0xffff; i++) {
      this.#lastTsih = (this.#lastTsih % 0xffff) + 1
      if (!this.#byTsih.has(this.#lastTsih)) return this.#lastTsih
    }
    return undefined
  }

  add(session: TargetSession): void {
    const { tsih, targetName } = session.identity
    this.#byTsih.set(tsih, session)
    this.#byKey.set(keyText(session.identity), session)
    this.#perTarget.set(targetName ?? "", this.count(targetName) + 1)
  }

  remove(session: TargetSession): void {
    const { tsih, targetName } = session.identity
    if (this.#byTsih.get(tsih) !== session) return
    this.#byTsih.delete(tsih)
    const key = keyText(session.identity)
    if (this.#byKey.get(key) === session) this.#byKey.delete(key)
    const left = this.count(targetName) - 1
    if (left > 0) this.#perTarget.set(targetName ?? "", left)
    else this.#perTarget.delete(targetName ?? "")
  }
}

const keyText = (key: SessionKey): string =>
  `${key.initiatorName}\n${key.isid}\n${key.targetName ?? ""}\n${key.portalGroupTag}`
