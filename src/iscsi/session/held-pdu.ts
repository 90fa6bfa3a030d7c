import type { DataBuffer } from "../../base/buffers.ts"
import type { ReceivedPdu } from "../da.ts"
import { BHS_BYTES } from "../pdu/bhs.ts"

/** A copy of a PDU that has to outlive its upcall whole: a command that came ahead of its turn. */
export class HeldPdu implements ReceivedPdu {
  readonly view: DataView
  readonly bytes: Uint8Array
  readonly at = 0
  readonly ahsAt = BHS_BYTES
  readonly ahsBytes: number
  readonly dataAt: number
  readonly dataBytes: number

  constructor(pdu: ReceivedPdu) {
    const headerBytes = BHS_BYTES + pdu.ahsBytes
    this.ahsBytes = pdu.ahsBytes
    this.dataAt = headerBytes
    this.dataBytes = pdu.dataBytes
    this.bytes = new Uint8Array(headerBytes + pdu.dataBytes)
    this.bytes.set(pdu.bytes.subarray(pdu.at, pdu.at + BHS_BYTES))
    this.bytes.set(pdu.bytes.subarray(pdu.ahsAt, pdu.ahsAt + pdu.ahsBytes), BHS_BYTES)
    this.bytes.set(pdu.bytes.subarray(pdu.dataAt, pdu.dataAt + pdu.dataBytes), headerBytes)
    this.view = new DataView(this.bytes.buffer)
  }

  hold(): DataBuffer {
    return { bytes: this.bytes.subarray(this.dataAt, this.dataAt + this.dataBytes), release() {} }
  }
}
