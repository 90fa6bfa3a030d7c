import { SoftwareQueuePair } from "../verbs/software/queue-pair.ts"

/** A queue pair of the iWARP provider. */
export class IwarpQueuePair extends SoftwareQueuePair {
  protected override work(_more: boolean): void {}

  protected override leave(): void {}
}
