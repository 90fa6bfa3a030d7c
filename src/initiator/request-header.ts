import type { RunningNumbers } from "../iscsi/da.ts"
import {
  BHS_BYTES,
  DataOut,
  ISCSI_RESERVED_TAG,
  LogoutRequest,
  NopOut,
  ScsiCommand,
  TaskManagementRequest,
  TextRequest,
} from "../iscsi/pdu/index.ts"

/** Additional header segment types (RFC 7143 §11.2.2.1). */
const AHS_EXTENDED_CDB = 1
const AHS_BIDIRECTIONAL_READ = 2
/** What a BHS carries of a CDB. */
const CDB_BYTES = 16

/**
 * The one header a connection composes its requests in. The datamover copies it when it is sent, so it is free again
 * at once, and no request allocates.
 */
export class RequestHeader {
  readonly bytes = new Uint8Array(BHS_BYTES)
  readonly #view = new DataView(this.bytes.buffer)
  readonly #scsi = new ScsiCommand(this.#view, 0)
  readonly #dataOut = new DataOut(this.#view, 0)
  readonly #nopOut = new NopOut(this.#view, 0)
  readonly #taskManagement = new TaskManagementRequest(this.#view, 0)
  readonly #text = new TextRequest(this.#view, 0)
  readonly #logout = new LogoutRequest(this.#view, 0)
  readonly #numbers: RunningNumbers

  constructor(numbers: RunningNumbers) {
    this.#numbers = numbers
  }

  scsi(initiatorTaskTag: number, lun: number): ScsiCommand {
    const view = this.#begin(this.#scsi, ScsiCommand.opcode, initiatorTaskTag)
    view.final = false
    this.#lun(lun)
    return view
  }

  dataOut(initiatorTaskTag: number, lun: number): DataOut {
    const view = this.#begin(this.#dataOut, DataOut.opcode, initiatorTaskTag)
    view.targetTransferTag = ISCSI_RESERVED_TAG
    this.#lun(lun)
    return view
  }

  nopOut(initiatorTaskTag: number): NopOut {
    return this.#begin(this.#nopOut, NopOut.opcode, initiatorTaskTag)
  }

  taskManagement(initiatorTaskTag: number, lun: number): TaskManagementRequest {
    const view = this.#begin(this.#taskManagement, TaskManagementRequest.opcode, initiatorTaskTag)
    this.#lun(lun)
    return view
  }

  text(initiatorTaskTag: number): TextRequest {
    return this.#begin(this.#text, TextRequest.opcode, initiatorTaskTag)
  }

  logout(initiatorTaskTag: number): LogoutRequest {
    return this.#begin(this.#logout, LogoutRequest.opcode, initiatorTaskTag)
  }

  #begin<V extends { opcode: number; final: boolean; initiatorTaskTag: number; expStatSn: number }>(
    view: V,
    opcode: number,
    initiatorTaskTag: number,
  ): V {
    this.bytes.fill(0)
    view.opcode = opcode
    view.final = true
    view.initiatorTaskTag = initiatorTaskTag
    view.expStatSn = this.#numbers.expStatSn
    return view
  }

  /** Single level LUN structure: peripheral device addressing below 256, flat above (SAM-5 §4.7.7). */
  #lun(lun: number): void {
    this.#view.setUint16(8, lun < 256 ? lun : 0x4000 | lun)
  }
}

/**
 * The additional header segments of a command whose CDB is longer than 16 bytes, or which moves data both ways
 * (RFC 7143 §11.2.2). Undefined: it needs none.
 */
export function encodeAhs(
  cdb: Uint8Array,
  bidirectionalReadBytes: number | undefined,
): Uint8Array | undefined {
  const cdbRest = Math.max(0, cdb.length - CDB_BYTES)
  if (cdbRest === 0 && bidirectionalReadBytes === undefined) return undefined
  const cdbSegment = cdbRest === 0 ? 0 : 4 + ((cdbRest + 3) & ~3)
  const bytes = new Uint8Array(cdbSegment + (bidirectionalReadBytes === undefined ? 0 : 8))
  const view = new DataView(bytes.buffer)
  if (cdbRest > 0) {
    view.setUint16(0, cdbRest + 1) // the reserved byte counts, type and length don't
    view.setUint8(2, AHS_EXTENDED_CDB)
    bytes.set(cdb.subarray(CDB_BYTES), 4)
  }
  if (bidirectionalReadBytes !== undefined) {
    view.setUint16(cdbSegment, 5)
    view.setUint8(cdbSegment + 2, AHS_BIDIRECTIONAL_READ)
    view.setUint32(cdbSegment + 4, bidirectionalReadBytes)
  }
  return bytes
}
