import type { DataBuffer } from "../../base/buffers.ts"
import type { ReceivedPdu } from "../da.ts"
import { BHS_BYTES } from "../pdu/bhs.ts"
import type { TargetConnection } from "./target-connection.ts"

/** A copy of a PDU that has to outlive its upcall whole: a request that came ahead of its turn. */
export class HeldPdu implements ReceivedPdu {
  /** The connection it came over, and is answered on. */
  readonly connection: TargetConnection
  /** Unsolicited data that came behind the command. */
  readonly data: HeldPdu[] = []
  /** Its data digest is wrong. */
  damaged = false
  readonly view: DataView
  readonly bytes: Uint8Array
  readonly at = 0
  readonly ahsAt = BHS_BYTES
  readonly ahsBytes: number
  readonly dataAt: number
  readonly dataBytes: number

  constructor(pdu: ReceivedPdu, connection: TargetConnection) {
    this.connection = connection
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

  get immediate(): boolean {
    return (this.bytes[0]! & 0x40) !== 0
  }

  get initiatorTaskTag(): number {
    return this.view.getUint32(16)
  }

  /** What it takes, with its data, in bytes. */
  get heldBytes(): number {
    return this.data.reduce((sum, piece) => sum + piece.bytes.length, this.bytes.length)
  }

  hold(): DataBuffer {
    return { bytes: this.bytes.subarray(this.dataAt, this.dataAt + this.dataBytes), release() {} }
  }
}
