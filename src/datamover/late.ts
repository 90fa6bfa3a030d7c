/**
 * The other way to begin iSER, and RFC 7145's own (§5.1): the login goes over plain TCP, and when it has
 * agreed on RDMAExtensions the connection turns to RDMA behind the final Login Response. These datamovers are
 * TCP until then, and stay it when nothing of the kind was agreed on.
 */
import type { DataBuffer } from "../base/buffers.ts"
import type { ByteStream, Endpoint } from "../base/byte-stream.ts"
import type { Eventually } from "../base/completion.ts"
import { DatamoverError } from "../iscsi/da.ts"
import type {
  CommandBuffers,
  Datamover,
  DatamoverKeys,
  DatamoverUpcalls,
  InitiatorDatamover,
  RunningNumbers,
  TargetDatamover,
} from "../iscsi/da.ts"
import type { Connection, ConnectionRequest, ConnectOptions } from "../rdma/verbs/index.ts"
import { awaitIser, type IserOptions, targetSegmentBytes, turnToIser } from "./iser/index.ts"
import { TcpInitiatorDatamover, TcpTargetDatamover } from "./tcp/index.ts"

interface LateOptions extends IserOptions {
  /** The stream has been started, by somebody who had to see its first bytes: these. */
  readonly head?: Uint8Array
}

export interface LateTargetOptions extends LateOptions {
  /**
   * Waits for the initiator's request for an RDMA connection over a stream that was started; `head`: what of
   * it is read already. One of both calls comes, once, from the event loop; destroying the stream ends the
   * wait.
   */
  readonly adopt: (
    stream: ByteStream,
    head: Uint8Array,
    requested: (request: ConnectionRequest) => void,
    failed: (error: Error) => void,
  ) => void
}

export interface LateInitiatorOptions extends LateOptions {
  /** Makes an RDMA connection over a stream that was started. */
  readonly connectOver: (stream: ByteStream, options: ConnectOptions) => Promise<Connection>
}

/** Both roles: whatever is asked goes to TCP, or to iSER once the connection has turned. */
abstract class LateDatamover<D extends Datamover, T extends D & { detach(): Detached }> implements Datamover {
  readonly canTurnToRdma = true
  readonly local: Endpoint
  readonly remote: Endpoint
  protected readonly tcp: T
  protected to: D
  /** Made when the resources are, before the final Login Response. */
  protected iser: D | undefined
  #keys: DatamoverKeys | undefined
  #upcalls: DatamoverUpcalls | undefined
  #numbers: RunningNumbers | undefined

  constructor(tcp: T) {
    this.tcp = tcp
    this.to = tcp
    this.local = tcp.local
    this.remote = tcp.remote
  }

  get transport(): "tcp" | "iser" {
    return this.to.transport
  }

  get settled(): D {
    return this.to
  }

  get activity(): number {
    return this.to.activity
  }

  /** Throws VerbsError. */
  protected abstract make(): D
  /** The stream is free for RDMA. */
  protected abstract turn(detached: Detached): void

  start(upcalls: DatamoverUpcalls, numbers: RunningNumbers): void {
    this.#upcalls = upcalls
    this.#numbers = numbers
    this.tcp.start(upcalls, numbers)
  }

  noticeKeyValues(keys: DatamoverKeys): void {
    this.#keys = keys
    this.to.noticeKeyValues(keys)
  }

  allocateConnectionResources(): void {
    this.to.allocateConnectionResources()
    const keys = this.#keys
    if (keys?.rdmaExtensions !== true || this.iser !== undefined) return
    let iser: D | undefined
    try {
      iser = this.make()
      iser.noticeKeyValues(keys)
      iser.allocateConnectionResources()
    } catch (error) {
      iser?.connectionTerminate()
      if (error instanceof DatamoverError) throw error
      throw new DatamoverError("ERR_ISER_RESOURCES", (error as Error).message, { cause: error })
    }
    this.iser = iser
  }

  deallocateConnectionResources(): void {
    this.iser?.connectionTerminate()
    this.iser = undefined
    this.to.deallocateConnectionResources()
  }

  enableDatamover(finalLoginResponse?: { header: Uint8Array; data?: Uint8Array }): void {
    const { tcp, iser } = this
    if (iser === undefined) return tcp.enableDatamover(finalLoginResponse)
    if (finalLoginResponse) tcp.sendControl(finalLoginResponse.header, finalLoginResponse.data)
    const detached = tcp.detach()
    this.to = iser
    iser.enableDatamover()
    iser.start(this.#upcalls!, this.#numbers!)
    this.turn(detached)
  }

  sendControl(header: Uint8Array, data?: Uint8Array | DataBuffer): void {
    this.to.sendControl(header, data)
  }

  deallocateTaskResources(initiatorTaskTag: number): void {
    this.to.deallocateTaskResources(initiatorTaskTag)
  }

  connectionClose(): void {
    this.to.connectionClose()
    this.#dropUnused()
  }

  connectionTerminate(): void {
    this.to.connectionTerminate()
    this.#dropUnused()
  }

  /** The login was refused after all. */
  #dropUnused(): void {
    if (this.iser !== this.to) this.iser?.connectionTerminate()
  }

  pause(): void {
    this.to.pause()
  }

  resume(): void {
    this.to.resume()
  }
}

interface Detached {
  readonly stream: ByteStream
  readonly head: Uint8Array
}

export class LateTargetDatamover
  extends LateDatamover<TargetDatamover, TcpTargetDatamover>
  implements TargetDatamover
{
  /** What it becomes is made for that. */
  readonly iserSegmentBytesMax: number
  readonly #options: LateTargetOptions
  #turn: ((detached: Detached) => void) | undefined

  constructor(stream: ByteStream, options: LateTargetOptions) {
    super(new TcpTargetDatamover(stream, options))
    this.#options = options
    this.iserSegmentBytesMax = targetSegmentBytes(options)
  }

  protected make(): TargetDatamover {
    let stream: ByteStream | undefined
    const awaited = awaitIser(this, this.#options, this.iserSegmentBytesMax, () => stream?.destroy())
    this.#turn = (detached) => {
      stream = detached.stream
      try {
        this.#options.adopt(stream, detached.head, awaited.requested, awaited.failed)
      } catch (error) {
        stream.destroy()
        awaited.failed(error as Error)
      }
    }
    return awaited.datamover
  }

  protected turn(detached: Detached): void {
    this.#turn?.(detached)
  }

  allocateDataIn(initiatorTaskTag: number, bytes: number): Eventually<DataBuffer> {
    return this.to.allocateDataIn(initiatorTaskTag, bytes)
  }

  allocateDataOut(initiatorTaskTag: number, bytes: number): Eventually<DataBuffer> {
    return this.to.allocateDataOut(initiatorTaskTag, bytes)
  }

  putData(tag: number, bufferOffset: number, buffer: DataBuffer, bytes: number, final: boolean): void {
    this.to.putData(tag, bufferOffset, buffer, bytes, final)
  }

  getData(
    tag: number,
    lunHigh: number,
    lunLow: number,
    bufferOffset: number,
    into: Uint8Array,
  ): Promise<void> {
    return this.to.getData(tag, lunHigh, lunLow, bufferOffset, into)
  }
}

export class LateInitiatorDatamover
  extends LateDatamover<InitiatorDatamover, TcpInitiatorDatamover>
  implements InitiatorDatamover
{
  readonly #options: LateInitiatorOptions
  #turn: ((detached: Detached) => void) | undefined

  constructor(stream: ByteStream, options: LateInitiatorOptions) {
    super(new TcpInitiatorDatamover(stream, options))
    this.#options = options
  }

  protected make(): InitiatorDatamover {
    let detached: Detached | undefined
    const connect = (options: ConnectOptions): Promise<Connection> => {
      const { stream, head } = detached!
      if (head.length === 0) return this.#options.connectOver(stream, options)
      stream.destroy()
      return Promise.reject(
        new DatamoverError(
          "ERR_ISER_MESSAGE",
          "the target has sent something behind its final Login Response",
        ),
      )
    }
    const turning = turnToIser(connect, this, this.#options)
    this.#turn = (given) => {
      detached = given
      turning.connect()
    }
    return turning.datamover
  }

  protected turn(detached: Detached): void {
    this.#turn?.(detached)
  }

  sendCommand(header: Uint8Array, buffers: CommandBuffers, immediateData?: Uint8Array): void {
    this.to.sendCommand(header, buffers, immediateData)
  }
}
