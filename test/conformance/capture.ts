/** Reads a capture (pcap, microseconds, of Ethernet): what went over each TCP connection, both ways, in order. */

/** One end's contribution to a connection. */
export interface Piece {
  readonly from: "client" | "server"
  readonly bytes: Uint8Array
}

export interface TcpConversation {
  /** "10.0.0.1:1234 - 10.0.0.2:3260". */
  readonly name: string
  /** In the order of the capture, without what was sent twice. */
  readonly pieces: readonly Piece[]
  /** Bytes the capture hasn't got; what follows such a gap is left out. */
  readonly gaps: number
}

const PCAP_MAGIC = 0xa1b2c3d4
const ETHERNET = 1
const ETHERTYPE_IPV4 = 0x0800
const TCP = 6
const SYN = 0x02
const ACK = 0x10

interface Segment {
  readonly source: string
  readonly target: string
  readonly sequence: number
  readonly flags: number
  readonly payload: Uint8Array
}

/** The packets of a pcap file. Throws for any other kind of file. */
function* packets(file: Buffer): Generator<Buffer> {
  if (file.readUInt32LE(0) !== PCAP_MAGIC || file.readUInt32LE(20) !== ETHERNET) {
    throw new Error("not a capture of Ethernet in pcap's own byte order")
  }
  for (let at = 24; at + 16 <= file.length; ) {
    const length = file.readUInt32LE(at + 8)
    yield file.subarray(at + 16, at + 16 + length)
    at += 16 + length
  }
}

function segmentOf(packet: Buffer): Segment | undefined {
  if (packet.length < 54 || packet.readUInt16BE(12) !== ETHERTYPE_IPV4 || packet[23] !== TCP) return undefined
  const tcpAt = 14 + ((packet[14] ?? 0) & 15) * 4
  const end = 14 + packet.readUInt16BE(16)
  const address = (ip: number, port: number): string =>
    `${packet.subarray(ip, ip + 4).join(".")}:${packet.readUInt16BE(port)}`
  return {
    source: address(26, tcpAt),
    target: address(30, tcpAt + 2),
    sequence: packet.readUInt32BE(tcpAt + 4),
    flags: packet[tcpAt + 13] ?? 0,
    payload: packet.subarray(tcpAt + ((packet[tcpAt + 12] ?? 0) >> 4) * 4, end),
  }
}

class Conversation implements TcpConversation {
  readonly name: string
  readonly pieces: Piece[] = []
  gaps = 0
  readonly #client: string
  readonly #next = new Map<string, number>()

  constructor({ source, target, sequence }: Segment) {
    this.name = `${source} - ${target}`
    this.#client = source
    this.#next.set(source, (sequence + 1) >>> 0)
  }

  add({ source, sequence, flags, payload }: Segment): void {
    if (flags & SYN) {
      this.#next.set(source, (sequence + 1) >>> 0)
      return
    }
    if (payload.length === 0) return
    const ahead = (sequence - (this.#next.get(source) ?? sequence)) | 0
    if (ahead > 0) {
      this.gaps += ahead
      return
    }
    if (-ahead >= payload.length) return
    const fresh = payload.subarray(-ahead)
    this.#next.set(source, (sequence + payload.length) >>> 0)
    this.pieces.push({ from: source === this.#client ? "client" : "server", bytes: fresh })
  }
}

/** Every TCP connection whose beginning the capture has, in the order they began. */
export function readConversations(file: Buffer): TcpConversation[] {
  const all: Conversation[] = []
  const open = new Map<string, Conversation>()
  for (const packet of packets(file)) {
    const segment = segmentOf(packet)
    if (!segment) continue
    const key = [segment.source, segment.target].sort().join()
    if ((segment.flags & (SYN | ACK)) === SYN) {
      const begun = new Conversation(segment)
      open.set(key, begun)
      all.push(begun)
    } else {
      open.get(key)?.add(segment)
    }
  }
  return all
}
