/** Peers that behave badly, over real sockets. */
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import type { ByteStream, Network } from "../../src/base/byte-stream.ts"
import { nodeNetwork } from "../../src/base/node-network.ts"
import { LoginRequest, encodePdu } from "../../src/iscsi/pdu/index.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

/** Other than where the healthy ones come from. */
const TROUBLE_ADDRESS = "127.0.0.2"
const BYTE_EVERY_MS = 100

/** A login that comes byte by byte and never gets to its end. */
export class SlowLoris {
  readonly #socket: Socket
  readonly #timer: NodeJS.Timeout
  /** Whether the target has thrown it out. */
  closed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    const header = encodePdu(LoginRequest, { immediate: true, transit: true, nextStage: 3, cmdSn: 1 })
    header[6] = 0x10 // 4 KiB of text to come
    let at = 0
    this.#timer = setInterval(() => socket.write(header.subarray(at % 48, (at++ % 48) + 1)), BYTE_EVERY_MS)
    socket.on("error", () => {})
    socket.on("close", () => {
      this.closed = true
      clearInterval(this.#timer)
    })
    socket.resume()
  }

  static async start({ host, port }: Address): Promise<SlowLoris> {
    const socket = connect({ host, port, localAddress: TROUBLE_ADDRESS })
    await once(socket, "connect")
    return new SlowLoris(socket)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#socket.destroy()
  }
}

/** Connects over and over and sends what is no login; returns how to stop, which tells how often it did. */
export function sendGarbage({ host, port }: Address, everyMs: number): () => number {
  let connections = 0
  const garbage = Buffer.alloc(2000, 0x47)
  const timer = setInterval(() => {
    const socket = connect({ host, port, localAddress: TROUBLE_ADDRESS })
    connections++
    garbage[0] = connections & 0xff
    socket.on("error", () => {})
    socket.on("connect", () => socket.end(garbage))
    socket.resume()
  }, everyMs)
  return () => {
    clearInterval(timer)
    return connections
  }
}

/** A network whose one connection can be kept from reading. */
export class DeafNetwork implements Network {
  #stream: ByteStream | undefined

  async connect(to: Address, options?: { signal?: AbortSignal }): Promise<ByteStream> {
    this.#stream = await nodeNetwork.connect(to, options)
    return this.#stream
  }

  listen(...at: Parameters<Network["listen"]>): ReturnType<Network["listen"]> {
    return nodeNetwork.listen(...at)
  }

  /** From now on nothing is read. */
  stopReading(): void {
    this.#stream?.pause()
  }

  drop(): void {
    this.#stream?.destroy()
  }
}
