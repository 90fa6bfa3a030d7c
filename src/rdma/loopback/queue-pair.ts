import type { QueuePairOptions } from "../verbs/index.ts"
import { SoftwareQueuePair } from "../verbs/software/queue-pair.ts"
import type { LoopbackConnection } from "./connection.ts"
import type { LoopbackDevice } from "./device.ts"

/** A queue pair of the loopback provider: it holds the work; Requester and Responder do it. */
export class LoopbackQueuePair extends SoftwareQueuePair {
  /** Set once it is given to a connection; there is no second one. */
  connection: LoopbackConnection | undefined
  readonly #random: LoopbackDevice["fabric"]["random"]

  constructor(device: LoopbackDevice, number: number, options: QueuePairOptions) {
    super(device, number, options)
    this.#random = device.fabric.random
  }

  protected override work(): void {
    this.connection?.requester.pump()
  }

  protected override leave(): void {
    this.connection?.end("local", "the queue pair was destroyed")
  }

  protected override flush(): void {
    // Which of the two queues is flushed first is anybody's guess.
    if (this.#random.chance(0.5)) {
      this.flushSends()
      this.flushReceives()
    } else {
      this.flushReceives()
      this.flushSends()
    }
  }
}
