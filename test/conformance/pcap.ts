/** A capture of one iSCSI connection, as if taken on a wire: every PDU in a TCP segment of its own. */

const ISCSI_PORT = 3260
const INITIATOR_PORT = 50_000
/** Largest payload of an IPv4 packet with plain IP and TCP headers, rounded down to whole words. */
const SEGMENT_BYTES_MAX = 65_492
const LINKTYPE_RAW_IP = 101
const PSH_ACK = 0x18

export class Capture {
  readonly #packets: Buffer[] = [fileHeader()]
  readonly #sent = { initiator: 1, target: 1 }
  #at = 0

  /** Adds bytes of the stream, cut into as many segments as it takes. */
  add(from: "initiator" | "target", bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += SEGMENT_BYTES_MAX) {
      this.#segment(from, bytes.subarray(at, at + SEGMENT_BYTES_MAX))
    }
  }

  #segment(from: "initiator" | "target", payload: Uint8Array): void {
    const header = Buffer.alloc(16 + 20 + 20)
    const outgoing = from === "initiator"
    header.writeUInt32LE(Math.floor(this.#at / 1000), 0)
    header.writeUInt32LE((this.#at++ % 1000) * 1000, 4) // one millisecond per segment
    header.writeUInt32LE(40 + payload.length, 8)
    header.writeUInt32LE(40 + payload.length, 12)
    header.writeUInt8(0x45, 16)
    header.writeUInt16BE(40 + payload.length, 18)
    header.writeUInt8(64, 24)
    header.writeUInt8(6, 25) // TCP
    header.writeUInt32BE(outgoing ? 0x7f000001 : 0x7f000002, 28)
    header.writeUInt32BE(outgoing ? 0x7f000002 : 0x7f000001, 32)
    header.writeUInt16BE(outgoing ? INITIATOR_PORT : ISCSI_PORT, 36)
    header.writeUInt16BE(outgoing ? ISCSI_PORT : INITIATOR_PORT, 38)
    header.writeUInt32BE(this.#sent[from] >>> 0, 40)
    header.writeUInt32BE(this.#sent[outgoing ? "target" : "initiator"] >>> 0, 44)
    header.writeUInt8(5 << 4, 48)
    header.writeUInt8(PSH_ACK, 49)
    header.writeUInt16BE(65_535, 50)
    this.#sent[from] += payload.length
    this.#packets.push(header, Buffer.from(payload))
  }

  /** The file's content. */
  toBuffer(): Buffer {
    return Buffer.concat(this.#packets)
  }
}

function fileHeader(): Buffer {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b2c3d4, 0)
  header.writeUInt16LE(2, 4)
  header.writeUInt16LE(4, 6)
  header.writeUInt32LE(262_144, 16)
  header.writeUInt32LE(LINKTYPE_RAW_IP, 20)
  return header
}
