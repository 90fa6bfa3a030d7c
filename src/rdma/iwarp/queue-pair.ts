import { SoftwareQueuePair } from "../verbs/software/queue-pair.ts"
import type { IwarpConnection } from "./connection.ts"

/** A queue pair of the iWARP provider: it holds the work, which its connection does. */
export class IwarpQueuePair extends SoftwareQueuePair {
  /** Set once it is given to a connection; there is no second one. */
  connection: IwarpConnection | undefined

  protected override work(more: boolean): void {
    if (!more) this.connection?.post()
  }

  protected override leave(): void {
    this.connection?.end("local", "the queue pair was destroyed")
    this.connection?.letGo()
  }

  protected override flushSends(): void {
    // Memory the system is still sending from stays lent until it has it.
    if (this.connection === undefined) super.flushSends()
    else this.connection.requester.flush()
  }
}
