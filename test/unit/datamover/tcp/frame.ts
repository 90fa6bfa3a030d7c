/** PDUs as bytes on the wire, made without the code under test, and a stream that keeps what is written to it. */
import type { ByteReceiver, ByteStream } from "../../../../src/base/byte-stream.ts"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { crc32c } from "../../../../src/wire/crc32c.ts"

export interface Digests {
  readonly header?: boolean
  readonly data?: boolean
}

function digest(bytes: Uint8Array): Buffer {
  const four = Buffer.alloc(4)
  four.writeUInt32LE(crc32c(bytes))
  return four
}

/** `header` is BHS and AHS; both lengths in it are filled in. */
export function frame(
  header: Uint8Array,
  data: Uint8Array = new Uint8Array(),
  digests: Digests = {},
): Buffer {
  const segments = Buffer.from(header)
  segments[4] = (header.length - 48) / 4
  segments.writeUIntBE(data.length, 5, 3)
  const padded = Buffer.concat([data, Buffer.alloc(-data.length & 3)])
  return Buffer.concat([
    segments,
    ...(digests.header ? [digest(segments)] : []),
    padded,
    ...(digests.data && data.length > 0 ? [digest(padded)] : []),
  ])
}

export interface Unframed {
  readonly header: Buffer
  readonly view: DataView
  readonly data: Buffer
}

/** Takes a stream of PDUs without AHS apart. */
export function unframe(bytes: Uint8Array, digests: Digests = {}): Unframed[] {
  const found: Unframed[] = []
  let at = 0
  while (at < bytes.length) {
    const header = Buffer.from(bytes.subarray(at, at + 48))
    const dataBytes = header.readUIntBE(5, 3)
    at += 48 + (digests.header ? 4 : 0)
    const data = Buffer.from(bytes.subarray(at, at + dataBytes))
    at += (dataBytes + 3) & ~3
    if (digests.data && dataBytes > 0) at += 4
    found.push({ header, view: new DataView(header.buffer, header.byteOffset, 48), data })
  }
  return found
}

/** A stream without a network: what is written is kept, what the test feeds is received. */
export class ManualStream implements ByteStream {
  readonly local = { address: "127.0.0.1", port: 3260 }
  readonly remote = { address: "127.0.0.1", port: 50000 }
  pendingBytes = 0
  readonly writes: Buffer[][] = []
  paused = false
  ended = false
  destroyed = false
  refreshed = 0
  #receiver: ByteReceiver | undefined
  #offered: Uint8Array | undefined
  #sent: (() => void)[] = []

  start(receiver: ByteReceiver): void {
    this.#receiver = receiver
    this.#offered = receiver.buffer()
  }

  handOver(receiver: ByteReceiver): void {
    this.start(receiver)
  }

  /** Hands bytes over in as many reads as the offered buffers ask for; what comes after the end is lost. */
  feed(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0 && this.#receiver && !this.destroyed && !this.paused) {
      const into = this.#offered!
      const count = Math.min(into.length, rest.length)
      into.set(rest.subarray(0, count))
      rest = rest.subarray(count)
      this.#receiver.received(count)
      this.#offered = this.#receiver.buffer()
    }
  }

  /** The system has taken all that was written. */
  take(): void {
    this.pendingBytes = 0
    for (const sent of this.#sent.splice(0)) sent()
  }

  /** The bytes written since the last call. */
  written(): Buffer {
    return Buffer.concat(this.writes.splice(0).flat())
  }

  close(error?: Error): void {
    this.destroyed = true
    this.take()
    const receiver = this.#receiver
    this.#receiver = undefined
    receiver?.closed(error)
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  refreshBuffer(): void {
    this.refreshed++
    this.#offered = this.#receiver?.buffer()
  }

  write(pieces: readonly Uint8Array[], sent?: () => void): void {
    this.writes.push(pieces.map((piece) => Buffer.from(piece)))
    for (const piece of pieces) this.pendingBytes += piece.length
    if (sent) this.#sent.push(sent)
  }

  end(): void {
    this.ended = true
  }

  destroy(): void {
    this.destroyed = true
  }
}

export const testKeys: DatamoverKeys = {
  headerDigest: "None",
  dataDigest: "None",
  maxSendDataSegmentLength: 8192,
  maxRecvDataSegmentLength: 8192,
  maxBurstLength: 16384,
  firstBurstLength: 8192,
  maxOutstandingR2T: 2,
  initialR2T: true,
  immediateData: true,
  dataPduInOrder: true,
  dataSequenceInOrder: true,
  errorRecoveryLevel: 0,
}
