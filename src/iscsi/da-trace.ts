import { type Channel, channel } from "node:diagnostics_channel"
import type { Endpoint } from "../base/byte-stream.ts"
import type { Datamover, DatamoverUpcalls, InitiatorDatamover, ReceivedPdu, TargetDatamover } from "./da.ts"
import { decodePdu, type PduRecord } from "./pdu/index.ts"

/** The primitives that can be watched, each on the channel `sanlet:da:` and its name (RFC 5047 §5). */
export const daPrimitives = [
  "sendControl",
  "sendCommand",
  "putData",
  "getData",
  "allocateConnectionResources",
  "deallocateConnectionResources",
  "noticeKeyValues",
  "enableDatamover",
  "deallocateTaskResources",
  "connectionClose",
  "connectionTerminate",
  "controlNotify",
  "dataCompletionNotify",
  "formatErrorNotify",
  "connectionTerminateNotify",
] as const
export type DaPrimitive = (typeof daPrimitives)[number]

/** What the subscriber of a channel is told: copies, its to keep. Fields that don't belong to a primitive are absent. */
export interface DaTrace {
  readonly primitive: DaPrimitive
  /** "down": the iSCSI layer asks it of the datamover; "up": the datamover tells the iSCSI layer. */
  readonly direction: "down" | "up"
  readonly role: "initiator" | "target"
  /** By which the bytes move at this moment. */
  readonly transport: "tcp" | "iser"
  /** Tells the connections of this process apart, from 1. */
  readonly connection: number
  readonly local: Endpoint
  readonly remote: Endpoint
  /** The header of a PDU that is sent or has come. */
  readonly pdu?: PduRecord
  /** Its data segment, without padding. */
  readonly dataBytes?: number
  readonly initiatorTaskTag?: number
  /** putData, getData, dataCompletionNotify: what is moved, within the initiator's buffer of the task. */
  readonly bufferOffset?: number
  readonly bytes?: number
  /** putData: nothing follows for this task. */
  readonly final?: boolean
  readonly error?: Error
}

type Details = Omit<
  DaTrace,
  "primitive" | "direction" | "role" | "transport" | "connection" | "local" | "remote"
>

const channels = Object.fromEntries(
  daPrimitives.map((primitive) => [primitive, channel(`sanlet:da:${primitive}`)]),
) as Readonly<Record<DaPrimitive, Channel<DaTrace>>>

let connections = 0

/**
 * The datamover of a new connection, watched: every primitive is told to who has subscribed to its channel with
 * node:diagnostics_channel. When nobody has subscribed to any by now, it is the datamover itself, and costs nothing;
 * who wants to watch subscribes before the connection is made.
 */
export function traced<D extends Datamover>(datamover: D, role: DaTrace["role"]): D {
  if (!daPrimitives.some((primitive) => channels[primitive].hasSubscribers)) return datamover
  const watched = new WatchedDatamover(datamover, role).overrides() as Readonly<Record<PropertyKey, unknown>>
  return new Proxy(datamover, {
    get(target, key) {
      if (Object.hasOwn(watched, key)) return watched[key]
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === "function" ? (value.bind(target) as unknown) : value
    },
  })
}

/** Whichever role: nobody calls the other one's primitives. */
type Watchable = TargetDatamover & InitiatorDatamover

class WatchedDatamover {
  readonly #datamover: Datamover
  readonly #role: DaTrace["role"]
  readonly #connection = ++connections

  constructor(datamover: Datamover, role: DaTrace["role"]) {
    this.#datamover = datamover
    this.#role = role
  }

  #tell(direction: DaTrace["direction"], primitive: DaPrimitive, details: () => Details): void {
    const to = channels[primitive]
    if (!to.hasSubscribers) return
    const { transport, local, remote } = this.#datamover
    const where = { role: this.#role, transport, connection: this.#connection, local, remote }
    to.publish({ primitive, direction, ...where, ...details() })
  }

  /** What is told before it is passed on. */
  overrides(): Partial<Watchable> {
    const to = this.#datamover as Watchable
    const down = (primitive: DaPrimitive, details: () => Details = () => ({})) =>
      this.#tell("down", primitive, details)
    return {
      // What is watched stays what is called.
      settled: undefined as never,
      start: (upcalls, numbers) => to.start(this.#upcalls(upcalls), numbers),
      sendControl: (header, data) => {
        const dataBytes = data === undefined ? 0 : "bytes" in data ? data.bytes.length : data.length
        down("sendControl", () => ({ ...headerOf(header), dataBytes }))
        to.sendControl(header, data)
      },
      sendCommand: (header, buffers, immediateData) => {
        down("sendCommand", () => ({ ...headerOf(header), dataBytes: immediateData?.length ?? 0 }))
        to.sendCommand(header, buffers, immediateData)
      },
      putData: (initiatorTaskTag, bufferOffset, buffer, bytes, final) => {
        down("putData", () => ({ initiatorTaskTag, bufferOffset, bytes, final }))
        to.putData(initiatorTaskTag, bufferOffset, buffer, bytes, final)
      },
      getData: (initiatorTaskTag, lunHigh, lunLow, bufferOffset, into) => {
        const what = { initiatorTaskTag, bufferOffset, bytes: into.length }
        down("getData", () => what)
        const fetched = to.getData(initiatorTaskTag, lunHigh, lunLow, bufferOffset, into)
        const ended = (details: Details) => this.#tell("up", "dataCompletionNotify", () => details)
        fetched.then(
          () => ended(what),
          (error: Error) => ended({ ...what, error }),
        )
        return fetched
      },
      ...this.#connectionOverrides(to, down),
    }
  }

  #connectionOverrides(
    to: Datamover,
    down: (primitive: DaPrimitive, details?: () => Details) => void,
  ): Partial<Datamover> {
    return {
      allocateConnectionResources: () => {
        down("allocateConnectionResources")
        to.allocateConnectionResources()
      },
      deallocateConnectionResources: () => {
        down("deallocateConnectionResources")
        to.deallocateConnectionResources()
      },
      noticeKeyValues: (keys) => {
        down("noticeKeyValues")
        to.noticeKeyValues(keys)
      },
      enableDatamover: (response) => {
        down("enableDatamover", () => (response ? headerOf(response.header) : {}))
        to.enableDatamover(response)
      },
      deallocateTaskResources: (initiatorTaskTag) => {
        down("deallocateTaskResources", () => ({ initiatorTaskTag }))
        to.deallocateTaskResources(initiatorTaskTag)
      },
      connectionClose: () => {
        down("connectionClose")
        to.connectionClose()
      },
      connectionTerminate: () => {
        down("connectionTerminate")
        to.connectionTerminate()
      },
    }
  }

  #upcalls(to: DatamoverUpcalls): DatamoverUpcalls {
    const up = (primitive: DaPrimitive, details: () => Details) => this.#tell("up", primitive, details)
    const arrived = ({ view, at, dataBytes }: ReceivedPdu): Details => ({ ...recordOf(view, at), dataBytes })
    return {
      controlNotify: (pdu) => {
        up("controlNotify", () => arrived(pdu))
        to.controlNotify(pdu)
      },
      formatErrorNotify: (reason, message, pdu) => {
        up("formatErrorNotify", () => ({ ...arrived(pdu), error: new Error(message) }))
        to.formatErrorNotify(reason, message, pdu)
      },
      numbersNotify: (statSn, expCmdSn, maxCmdSn) => to.numbersNotify(statSn, expCmdSn, maxCmdSn),
      connectionTerminateNotify: (error) => {
        up("connectionTerminateNotify", () => ({ error }))
        to.connectionTerminateNotify(error)
      },
    }
  }
}

const headerOf = (header: Uint8Array): Details =>
  recordOf(new DataView(header.buffer, header.byteOffset, header.byteLength), 0)

function recordOf(view: DataView, at: number): Details {
  const pdu = decodePdu(view, at)
  if (!pdu) return {}
  const { initiatorTaskTag } = pdu
  return { pdu, ...(typeof initiatorTaskTag === "number" && { initiatorTaskTag }) }
}
