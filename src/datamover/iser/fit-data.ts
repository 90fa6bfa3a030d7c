import type { DataBuffer } from "../../base/buffers.ts"
import { Opcode } from "../../iscsi/pdu/index.ts"

/**
 * What of a PDU's data the initiator has room for, where that is less: ib_iser and libiscsi have receives for
 * 128 bytes of data, no more. What can't be cut is sent in shorter pieces by the iSCSI layer.
 */
export function fitData(
  opcode: number,
  data: Uint8Array | DataBuffer | undefined,
  max: number,
): Uint8Array | DataBuffer | undefined {
  if (data === undefined) return data
  const bytes = data instanceof Uint8Array ? data : data.bytes
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
