import { SanletError } from "../../base/errors.ts"

/** What can be wrong with a call; the errors of requests under way are completions instead. */
export type VerbsProblem =
  | "request" // a work request, or parameters of a connection, that make no sense or go beyond what was agreed
  | "state" // not in this state of the queue pair
  | "queue-full"
  | "registration" // memory or rights that can't be registered
  | "limit" // more than the device has room for
  | "busy" // still in use by something else
  | "closed" // the device, or what was made from it, is gone

const codes: Readonly<Record<VerbsProblem, string>> = {
  request: "ERR_RDMA_REQUEST",
  state: "ERR_RDMA_STATE",
  "queue-full": "ERR_RDMA_QUEUE_FULL",
  registration: "ERR_RDMA_REGISTRATION",
  limit: "ERR_RDMA_LIMIT",
  busy: "ERR_RDMA_BUSY",
  closed: "ERR_RDMA_CLOSED",
}

/** A verb refused what it was asked, and has done nothing. `code` is ERR_RDMA_ and the problem. */
export class VerbsError extends SanletError {
  readonly problem: VerbsProblem

  constructor(problem: VerbsProblem, message: string, options?: ErrorOptions) {
    super(codes[problem], message, options)
    this.problem = problem
  }
}

/** The program at the other end said no (rdma_reject; IB's REJ with reason 28, MPA's R bit). */
export class ConnectionRejectedError extends SanletError {
  /** What it had to say about it; may be padded with zeroes. */
  readonly privateData: Uint8Array

  constructor(message: string, privateData: Uint8Array) {
    super("ERR_RDMA_REJECTED", message)
    this.privateData = privateData
  }
}
