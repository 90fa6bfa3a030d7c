import type { DataBuffer } from "../../base/buffers.ts"
import type { DatamoverKeys } from "../../iscsi/da.ts"
import { Opcode } from "../../iscsi/pdu/index.ts"

/** Data segments the receives of ib_iser and libiscsi have room for in full feature phase, whatever they declare. */
export const FIELD_DATA_BYTES = 128

/**
 * The longest data segment an initiator takes in full feature phase, in bytes. ib_iser and libiscsi declare an
 * InitiatorRecvDataSegmentLength of 262144, but post receives of 204 bytes for messages of 76 and their data (rdma.md
 * 1.5); a longer one ends the connection. Neither knows the keys that came with RFC 7145: who declares one of those
 * is newer, and taken at its word.
 */
export function dataBytesMaxOf(keys: DatamoverKeys): number {
  const declares =
    keys.taggedBufferForSolicitedDataOnly !== undefined || keys.peerMaxOutstandingUnexpectedPdus !== undefined
  return declares ? keys.maxSendDataSegmentLength : Math.min(keys.maxSendDataSegmentLength, FIELD_DATA_BYTES)
}

/** What of a PDU's data the initiator has room for; what can't be cut is sent in shorter pieces by the iSCSI layer. */
export function fitData(
  opcode: number,
  data: Uint8Array | DataBuffer | undefined,
  keys: DatamoverKeys,
): Uint8Array | DataBuffer | undefined {
  if (data === undefined) return data
  const bytes = data instanceof Uint8Array ? data : data.bytes
  const max = dataBytesMaxOf(keys)
  if (bytes.length <= max || !(data instanceof Uint8Array)) return data
  if (opcode === Opcode.scsiResponse || opcode === Opcode.asyncMessage) return cutSense(data, max)
  return opcode === Opcode.nopIn || opcode === Opcode.reject ? data.subarray(0, max) : data
}

/** Sense data behind its length in two bytes (RFC 7143 §11.4.7): the end of it is what can be spared. */
function cutSense(data: Uint8Array, max: number): Uint8Array {
  const cut = data.slice(0, max)
  const senseBytes = Math.min((cut[0]! << 8) | cut[1]!, max - 2)
  cut[0] = senseBytes >>> 8
  cut[1] = senseBytes & 0xff
  return cut
}
