import { WorkStatus } from "../status.ts"
import { CompletionOpcode, SendOpcode } from "../work.ts"
import type { SendRequest } from "../work.ts"
import { WorkPlace } from "./work-queue.ts"

/** A send request in its queue. */
export class SendPlace extends WorkPlace {
  opcode: SendOpcode = SendOpcode.send
  signaled = true
  fence = false
  solicited = false
  /** The data itself, of an inline request. */
  inlineData: Uint8Array | undefined
  rkey = 0
  remoteHigh = 0
  remoteLow = 0
  invalidateRkey = 0
  /** It has ended, as `status` says; its completion waits for those before it. */
  done = false
  status: WorkStatus = WorkStatus.success
  /** Its memory is free once the provider has got so far; the provider's business. */
  endsAt = 0

  take(request: SendRequest): void {
    this.opcode = request.opcode
    this.signaled = request.signaled
    this.fence = request.fence
    this.solicited = request.solicited
    this.inlineData = undefined
    this.rkey = request.rkey >>> 0
    this.remoteHigh = request.remoteHigh >>> 0
    this.remoteLow = request.remoteLow >>> 0
    this.invalidateRkey = request.invalidateRkey >>> 0
    this.done = false
    this.status = WorkStatus.success
    this.endsAt = 0
  }

  get isRead(): boolean {
    return this.opcode === SendOpcode.rdmaRead
  }

  get isSend(): boolean {
    return this.opcode === SendOpcode.send || this.opcode === SendOpcode.sendWithInvalidate
  }

  get completionOpcode(): CompletionOpcode {
    if (this.opcode === SendOpcode.rdmaWrite) return CompletionOpcode.rdmaWrite
    return this.isRead ? CompletionOpcode.rdmaRead : CompletionOpcode.send
  }

  end(status: WorkStatus): void {
    this.done = true
    this.status = status
  }
}
