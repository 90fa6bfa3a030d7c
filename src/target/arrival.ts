import type { ByteStream } from "../base/byte-stream.ts"
import type { Timer } from "../base/clock.ts"
import { LOGIN_DEADLINE_MS } from "../base/limits.ts"
import { sniff } from "../base/sniff.ts"
import { TcpTargetDatamover } from "../datamover/tcp/index.ts"
import type { TargetDatamover } from "../iscsi/da.ts"
import { Opcode } from "../iscsi/pdu/bhs.ts"
import type { IserAcceptor } from "./iser.ts"
import type { NetworkEntity } from "./network-entity.ts"

/** What the first bytes at a portal may be the beginning of. */
type Opening = "login" | "mpa"

/** "MPA ", as the keys of both MPA frames begin (RFC 5044 §7.1.1). */
const MPA = [0x4d, 0x50, 0x41, 0x20]

/** A Login Request's opcode, immediate or not (old initiators leave out the I bit), or an MPA Request's key. */
export function openingOf(head: Uint8Array): Opening | "neither" | undefined {
  if ((head[0]! & 0xbf) === Opcode.loginRequest) return "login"
  if (!head.every((byte, i) => byte === MPA[i])) return "neither"
  return head.length === MPA.length ? "mpa" : undefined
}

export interface ArrivalUser {
  /** It speaks: here is what to log in over, and how long that may take. The arrival is over. */
  arrived(datamover: TargetDatamover, deadlineMs: number): void
  /** Nothing came of it; the stream is gone. */
  ended(): void
}

/**
 * A connection that hasn't said yet whether it will be plain iSCSI or iSER: its first bytes tell (an iSCSI login over TCP
 * begins with a Login Request, an RDMA connection over iWARP with an MPA Request). It counts as a login that is
 * pending, and the login's deadline runs.
 */
export class Arrival {
  readonly #stream: ByteStream
  readonly #entity: NetworkEntity
  readonly #iser: IserAcceptor | undefined
  readonly #user: ArrivalUser
  readonly #endMs: number
  readonly #deadline: Timer
  #over = false

  /** `iser` absent: only plain iSCSI is let in. Whoever tries RDMA is told so by a hang-up, and needn't wait for an answer. */
  constructor(stream: ByteStream, entity: NetworkEntity, iser: IserAcceptor | undefined, user: ArrivalUser) {
    this.#stream = stream
    this.#entity = entity
    this.#iser = iser
    this.#user = user
    const deadlineMs = entity.options.loginDeadlineMs ?? LOGIN_DEADLINE_MS
    this.#endMs = entity.clock.nowMs() + deadlineMs
    this.#deadline = entity.clock.after(deadlineMs, "login deadline", () =>
      this.abandon(`no login within ${Math.round(deadlineMs / 1000)} s`),
    )
  }

  get address(): string {
    return this.#stream.remote.address
  }

  begin(): void {
    sniff(this.#stream, MPA.length, openingOf, {
      sniffed: (opening, head) => this.#sniffed(opening, head),
      lost: (error) => this.#lost(error?.message ?? "the peer has closed the connection"),
    })
  }

  abandon(reason: string): void {
    this.#lost(reason)
    this.#stream.destroy()
  }

  #sniffed(opening: ReturnType<typeof openingOf>, head: Uint8Array): void {
    const { clock, budget } = this.#entity
    if (this.#over) return
    if (opening === "login") {
      const late = this.#iser?.logIn?.(this.#stream, head, { clock, budget })
      return this.#arrived(late ?? new TcpTargetDatamover(this.#stream, { clock, budget, head }))
    }
    if (opening !== "mpa") {
      return this.abandon("what it begins with is neither a Login Request nor an MPA Request")
    }
    if (!this.#iser) return this.abandon("an MPA Request, where iSER is off")
    this.#iser.accept(
      this.#stream,
      head,
      { clock, budget },
      {
        accepted: (datamover) => {
          if (this.#over) datamover.connectionTerminate()
          else this.#arrived(datamover)
        },
        failed: (error) => this.#lost(error.message),
      },
    )
  }

  #arrived(datamover: TargetDatamover): void {
    this.#end()
    this.#user.arrived(datamover, this.#endMs - this.#entity.clock.nowMs())
  }

  #lost(reason: string): void {
    if (this.#over) return
    this.#end()
    const { address, port } = this.#stream.remote
    this.#entity.log.info({ address, port, reason }, "login not completed")
    this.#user.ended()
  }

  #end(): void {
    this.#over = true
    this.#deadline.cancel()
  }
}
