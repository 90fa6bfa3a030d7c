import { ISCSI_RESERVED_TAG } from "../pdu/bhs.ts"
import {
  AsyncMessage,
  BHS_BYTES,
  LogoutResponse,
  NopIn,
  Reject,
  ScsiResponse,
  TaskManagementResponse,
  TextResponse,
} from "../pdu/index.ts"

/**
 * The one header a connection composes its responses in. The datamover copies it when it is sent, so it is free
 * again at once, and no response allocates.
 */
export class ResponseHeader {
  readonly bytes = new Uint8Array(BHS_BYTES)
  readonly #view = new DataView(this.bytes.buffer)
  readonly #scsi = new ScsiResponse(this.#view, 0)
  readonly #taskManagement = new TaskManagementResponse(this.#view, 0)
  readonly #text = new TextResponse(this.#view, 0)
  readonly #logout = new LogoutResponse(this.#view, 0)
  readonly #nopIn = new NopIn(this.#view, 0)
  readonly #async = new AsyncMessage(this.#view, 0)
  readonly #reject = new Reject(this.#view, 0)

  scsi(initiatorTaskTag: number): ScsiResponse {
    return this.#begin(this.#scsi, ScsiResponse.opcode, initiatorTaskTag)
  }

  taskManagement(initiatorTaskTag: number): TaskManagementResponse {
    return this.#begin(this.#taskManagement, TaskManagementResponse.opcode, initiatorTaskTag)
  }

  text(initiatorTaskTag: number): TextResponse {
    return this.#begin(this.#text, TextResponse.opcode, initiatorTaskTag)
  }

  logout(initiatorTaskTag: number): LogoutResponse {
    return this.#begin(this.#logout, LogoutResponse.opcode, initiatorTaskTag)
  }

  nopIn(initiatorTaskTag: number): NopIn {
    return this.#begin(this.#nopIn, NopIn.opcode, initiatorTaskTag)
  }

  async(): AsyncMessage {
    return this.#begin(this.#async, AsyncMessage.opcode, ISCSI_RESERVED_TAG)
  }

  reject(): Reject {
    return this.#begin(this.#reject, Reject.opcode, ISCSI_RESERVED_TAG)
  }

  #begin<V extends { opcode: number; final: boolean; initiatorTaskTag: number }>(
    view: V,
    opcode: number,
    initiatorTaskTag: number,
  ): V {
    this.bytes.fill(0)
    view.opcode = opcode
    view.final = true
    view.initiatorTaskTag = initiatorTaskTag
    return view
  }
}
