/**
 * Either end of rping (rdma-core's example program) on our iWARP device: a client advertises a buffer, which the server
 * reads by RDMA Read, then another, into which the server writes the same by RDMA Write.
 *
 *     rping-peer.ts server|client HOST PORT COUNT BYTES
 *
 * Prints "listening" once a server does, and "done COUNT" at the end.
 */
import {
  Access,
  type Connection,
  type ConnectionRequest,
  type Device,
  type MemoryRegion,
  ReceiveRequest,
  SendOpcode,
  SendRequest,
  WorkCompletion,
} from "../../src/rdma/verbs/index.ts"
import { IwarpDevice } from "../../src/rdma/iwarp/index.ts"

const INFO_BYTES = 16
const QUEUE = 16

/** One end's queue pair with its buffers, and its completions in the order they came. */
class End {
  readonly #all = Access.LocalWrite | Access.RemoteRead | Access.RemoteWrite
  readonly #waiting: (() => void)[] = []
  readonly #into = [new WorkCompletion()]
  readonly #device: Device
  readonly qp
  readonly #cq
  readonly info: MemoryRegion
  readonly heard: MemoryRegion
  readonly data: MemoryRegion
  #ended = (): void => {}
  /** When the connection has ended. */
  readonly over = new Promise<void>((resolve) => {
    this.#ended = resolve
  })

  constructor(device: Device, bytes: number) {
    this.#device = device
    const pd = device.allocatePd()
    const wake = (): void => {
      for (const go of this.#waiting.splice(0)) go()
    }
    this.#cq = device.createCq(2 * QUEUE, wake)
    this.qp = device.createQp({
      pd,
      sendCq: this.#cq,
      receiveCq: this.#cq,
      sendQueueDepth: QUEUE,
      receiveQueueDepth: QUEUE,
    })
    this.info = pd.registerMemory(new Uint8Array(INFO_BYTES), this.#all)
    this.heard = pd.registerMemory(new Uint8Array(INFO_BYTES), this.#all)
    this.data = pd.registerMemory(new Uint8Array(bytes), this.#all)
    this.#receive()
  }

  readonly disconnected = (): void => this.#ended()

  #receive(): void {
    const request = new ReceiveRequest()
    request.sgl = [{ mr: this.heard, offset: 0, length: INFO_BYTES }]
    this.qp.postRecv(request)
  }

  /** The next completion, which must be a success. */
  async #completion(): Promise<WorkCompletion> {
    while (this.#cq.poll(this.#into) === 0) {
      this.#cq.arm()
      if (this.#cq.poll(this.#into) !== 0) break
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    const [done] = this.#into
    if (!done || done.status !== 0) throw new Error(`completion with status ${done?.status}`)
    return done
  }

  #arrived = 0

  /** Waits for the peer's next message. */
  async message(): Promise<DataView> {
    while (this.#arrived === 0) if ((await this.#completion()).opcode === 128) this.#arrived++
    this.#arrived--
    const copy = this.heard.bytes.slice()
    this.#receive()
    return new DataView(copy.buffer)
  }

  /** Posts a request and waits until it is done. */
  async #do(fill: (request: SendRequest) => void): Promise<void> {
    const request = new SendRequest()
    fill(request)
    this.qp.postSend(request)
    while ((await this.#completion()).opcode === 128) this.#arrived++
  }

  /** Tells the peer where `region` is, or with none only that it may go on. */
  async tell(region?: MemoryRegion): Promise<void> {
    const view = new DataView(this.info.bytes.buffer)
    view.setUint32(0, region?.addressHigh ?? 0)
    view.setUint32(4, region?.addressLow ?? 0)
    view.setUint32(8, region?.rkey ?? 0)
    view.setUint32(12, region?.bytes.length ?? 0)
    await this.#do((request) => {
      request.sgl = [{ mr: this.info, offset: 0, length: INFO_BYTES }]
    })
  }

  async move(opcode: SendOpcode, peer: DataView): Promise<void> {
    await this.#do((request) => {
      request.opcode = opcode
      request.remoteHigh = peer.getUint32(0)
      request.remoteLow = peer.getUint32(4)
      request.rkey = peer.getUint32(8)
      request.sgl = [
        { mr: this.data, offset: 0, length: Math.min(peer.getUint32(12), this.data.bytes.length) },
      ]
    })
  }

  async close(): Promise<void> {
    await this.#device.close()
  }
}

async function serve(end: End, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const source = await end.message()
    await end.move(SendOpcode.rdmaRead, source)
    await end.tell()
    const sink = await end.message()
    await end.move(SendOpcode.rdmaWrite, sink)
    await end.tell()
  }
}

async function ask(end: End, connection: Connection, count: number): Promise<void> {
  const bytes = end.data.bytes.length
  const sink = connection.qp.pd.registerMemory(new Uint8Array(bytes), end.data.access)
  for (let i = 0; i < count; i++) {
    // text without a NUL until its end, for that is how far the server writes
    for (let at = 0; at < bytes - 1; at++) end.data.bytes[at] = 65 + ((at + i) % 58)
    await end.tell(end.data)
    await end.message()
    await end.tell(sink)
    await end.message()
    if (Buffer.compare(sink.bytes, end.data.bytes) !== 0) throw new Error(`ping ${i} came back changed`)
  }
}

const [role, host = "", port = "", pings = "", size = ""] = process.argv.slice(2)
const device = new IwarpDevice()
const end = new End(device, Number(size))
const depths = { responderResources: 4, initiatorDepth: 4, disconnected: end.disconnected }
if (role === "server") {
  const connected = new Promise<Connection>((resolve, reject) => {
    const requested = (request: ConnectionRequest): void => {
      request.accept({ qp: end.qp, ...depths }).then(resolve, reject)
    }
    device.listen({ host, port: Number(port) }, requested).then(() => console.log("listening"), reject)
  })
  await connected
  await serve(end, Number(pings))
  await end.over // a send that is complete need not have arrived: the client ends it
} else {
  const connection = await device.connect({ host, port: Number(port) }, { qp: end.qp, ...depths })
  await ask(end, connection, Number(pings))
  connection.disconnect()
}
console.log(`done ${pings}`)
await end.close()
