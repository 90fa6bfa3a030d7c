/** A target in virtual time that does what a test tells it: answers, keeps silent, refuses, hangs up. */
import { isPromise } from "../../../src/base/completion.ts"
import { SeededRandom } from "../../../src/base/random.ts"
import { silentLog } from "../../../src/base/log.ts"
import { SimNetwork } from "../../../src/base/sim-network.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"
import { DataBufferBudget } from "../../../src/datamover/shared/index.ts"
import { TcpTargetDatamover } from "../../../src/datamover/tcp/index.ts"
import type { InitiatorServices } from "../../../src/initiator/services.ts"
import { TransportMemory } from "../../../src/initiator/transport.ts"
import type { DatamoverUpcalls, ReceivedPdu, RunningNumbers, TargetDatamover } from "../../../src/iscsi/da.ts"
import {
  type AcceptedLogin,
  type LoginGrant,
  type LoginRefusal,
  TargetLogin,
  targetKeyPreferences,
} from "../../../src/iscsi/login/index.ts"
import {
  AsyncMessage,
  decodePdu,
  encodePdu,
  LoginRequest,
  LogoutResponse,
  NopIn,
  Opcode,
  type PduRecord,
  Reject,
  ScsiResponse,
  TaskManagementResponse,
  TextResponse,
} from "../../../src/iscsi/pdu/index.ts"
import { encodeSense } from "../../../src/scsi/spec/sense.ts"
import type { Sense } from "../../../src/scsi/spec/sense.ts"
import { Status } from "../../../src/scsi/spec/status.ts"

export const PORT = 3260
export const BLOCK = 512
const NO_TAG = 0xffffffff

/** A SCSI command as the target has it. */
export interface Received {
  readonly connection: ScriptedConnection
  readonly header: PduRecord
  readonly cdb: Uint8Array
  readonly tag: number
  readonly cmdSn: number
  readonly ahs: Uint8Array
  readonly immediate: Uint8Array
}

/** What a command shall come to; undefined: what a disk would do. */
export type Verdict =
  | undefined
  | "hold"
  | "hang up"
  | { status: number; sense?: Sense }
  | { dataIn: Uint8Array }

export class ScriptedTarget {
  readonly clock = new VirtualClock()
  readonly network: SimNetwork
  readonly services: InitiatorServices
  readonly connections: ScriptedConnection[] = []
  readonly medium = new Uint8Array(64 * 1024)
  serial = "4711"
  /** Every SCSI command, in the order it came. */
  readonly commands: Received[] = []
  /** Commands the initiator may have outstanding. */
  windowCommands = 64
  verdict: (command: Received) => Verdict = () => undefined
  grant: () => LoginGrant | LoginRefusal = () => ({
    kind: "granted",
    keys: targetKeyPreferences,
    portalGroupTag: 1,
  })
  /** Other requests; true: dealt with. */
  request: (connection: ScriptedConnection, header: PduRecord, data: Uint8Array) => boolean = () => false

  constructor(seed = 1) {
    const random = new SeededRandom(seed)
    this.network = new SimNetwork(this.clock, random)
    const budget = new DataBufferBudget(1 << 26)
    const transports = new TransportMemory(this.clock)
    this.services = { clock: this.clock, random, network: this.network, log: silentLog, budget, transports }
    void this.network.listen({ host: "10.0.0.1", port: PORT }, (stream) => {
      const datamover = new TcpTargetDatamover(stream, { clock: this.clock, budget })
      this.connections.push(new ScriptedConnection(this, datamover))
    })
  }

  /** The connection in use. */
  get connection(): ScriptedConnection {
    return this.connections.at(-1)!
  }

  /** Lets virtual time pass until `promise` settles; rejects as it does. */
  async run<T>(promise: Promise<T>, withinMs = 600_000): Promise<T> {
    let settled = false
    const mark = () => {
      settled = true
    }
    promise.then(mark, mark)
    if (!(await this.clock.advance(withinMs, () => settled)))
      throw new Error(`not settled within ${withinMs} ms`)
    return promise
  }

  async until(what: string, done: () => boolean, withinMs = 600_000): Promise<void> {
    if (!(await this.clock.advance(withinMs, done))) throw new Error(`not within ${withinMs} ms: ${what}`)
  }

  /** The connection is lost; both ends notice. */
  cut(): void {
    for (const link of this.network.links) link.cut()
  }
}

export class ScriptedConnection implements DatamoverUpcalls, RunningNumbers {
  readonly target: ScriptedTarget
  readonly datamover: TargetDatamover
  statSn = 0
  expCmdSn = 1
  maxCmdSn = 0
  readonly expStatSn = 0
  login: AcceptedLogin | undefined
  lost = false
  /** Everything but SCSI commands, in the order it came. */
  readonly requests: PduRecord[] = []
  #loginPhase: TargetLogin | undefined

  constructor(target: ScriptedTarget, datamover: TargetDatamover) {
    this.target = target
    this.datamover = datamover
    const policy = {
      findTarget: () => target.grant(),
      admit: () =>
        ({ kind: "admitted", tsih: target.connections.length, maxCmdSn: target.windowCommands }) as const,
    }
    this.#loginPhase = new TargetLogin(policy, target.services.random)
    datamover.start(this, this)
  }

  controlNotify(pdu: ReceivedPdu): void {
    const data = pdu.bytes.slice(pdu.dataAt, pdu.dataAt + pdu.dataBytes)
    if (this.#loginPhase) return this.#logIn(this.#loginPhase, new LoginRequest(pdu.view, pdu.at), data)
    const header = decodePdu(pdu.view, pdu.at)!
    if (header["opcode"] !== Opcode.scsiCommand) {
      this.requests.push(header)
      if (!this.target.request(this, header, data)) this.#serve(header)
      return
    }
    this.expCmdSn++
    const command: Received = {
      connection: this,
      header,
      cdb: header["cdb"] as Uint8Array,
      tag: header["initiatorTaskTag"] as number,
      cmdSn: header["cmdSn"] as number,
      ahs: pdu.bytes.slice(pdu.ahsAt, pdu.ahsAt + pdu.ahsBytes),
      immediate: data,
    }
    this.target.commands.push(command)
    void this.#carryOut(command)
  }

  #logIn(phase: TargetLogin, header: LoginRequest, data: Uint8Array): void {
    const step = phase.receive(header, data)
    const apply = (next: Awaited<typeof step>) => {
      const { response } = next
      if (next.kind !== "accepted") {
        this.datamover.sendControl(response.header, response.data)
        if (next.kind === "refused") this.datamover.connectionClose()
        return
      }
      this.#loginPhase = undefined
      this.login = next.login
      this.statSn = next.login.statSn
      this.expCmdSn = next.login.expCmdSn
      this.maxCmdSn = next.login.maxCmdSn
      this.datamover.noticeKeyValues(next.login.keys)
      this.datamover.enableDatamover(response)
    }
    if (isPromise(step)) void step.then(apply)
    else apply(step)
  }

  /** Sends a header with the numbers it needs; `advances`: it takes a StatSN. */
  send(header: Uint8Array, data?: Uint8Array, advances = true): void {
    const view = new DataView(header.buffer, header.byteOffset)
    view.setUint32(24, this.statSn)
    if (advances) this.statSn++
    view.setUint32(28, this.expCmdSn)
    view.setUint32(32, this.maxCmdSn)
    this.datamover.sendControl(header, data)
  }

  async #carryOut(command: Received): Promise<void> {
    const verdict = this.target.verdict(command)
    if (verdict === "hold") return
    if (verdict === "hang up") return this.target.cut()
    if (verdict && "dataIn" in verdict) return this.respondData(command, verdict.dataIn)
    if (verdict) return this.respond(command, verdict.status, verdict.sense)
    await this.perform(command)
  }

  /** Does what a disk does. */
  async perform(command: Received): Promise<void> {
    const { cdb, connection } = command
    const lba = new DataView(cdb.buffer, cdb.byteOffset).getUint32(2)
    const count = new DataView(cdb.buffer, cdb.byteOffset).getUint16(7)
    const region = connection.target.medium.subarray(lba * BLOCK, (lba + count) * BLOCK)
    if (cdb[0] === 0x28) return this.respondData(command, region)
    if (cdb[0] === 0x2a) {
      region.set(await this.dataOut(command))
      return this.respond(command, Status.good)
    }
    if (cdb[0] === 0x89) {
      await this.dataOut(command)
      return this.respond(command, Status.good)
    }
    const data = setUpData(cdb, connection.target)
    if (data) return this.respondData(command, data)
    this.respond(command, Status.good)
  }

  /** All a command writes: what came with it, and the rest by R2T. */
  async dataOut(command: Received): Promise<Uint8Array> {
    const bytes = command.header["expectedDataTransferLength"] as number
    const whole = new Uint8Array(bytes)
    whole.set(command.immediate)
    const rest = bytes - command.immediate.length
    if (rest === 0) return whole
    const buffer = await this.datamover.allocateDataOut(command.tag, rest)
    await this.datamover.getData(command.tag, 0, 0, command.immediate.length, buffer.bytes.subarray(0, rest))
    whole.set(buffer.bytes.subarray(0, rest), command.immediate.length)
    buffer.release()
    return whole
  }

  async respondData(command: Received, data: Uint8Array): Promise<void> {
    const expected = command.header["expectedDataTransferLength"] as number
    const bytes = Math.min(data.length, expected)
    if (bytes > 0) {
      const buffer = await this.datamover.allocateDataIn(command.tag, bytes)
      buffer.bytes.set(data.subarray(0, bytes))
      this.datamover.putData(command.tag, 0, buffer, bytes, true)
    }
    const underflow = expected > bytes
    this.respond(
      command,
      Status.good,
      undefined,
      underflow ? { underflow, residualCount: expected - bytes } : {},
    )
  }

  respond(
    command: Received,
    status: number,
    sense?: Sense,
    more: { underflow?: boolean; residualCount?: number; response?: number } = {},
  ): void {
    this.maxCmdSn++
    const header = encodePdu(ScsiResponse, { final: true, initiatorTaskTag: command.tag, status, ...more })
    const senseData = sense && encodeSense(sense, "fixed")
    this.send(header, senseData && Uint8Array.of(0, senseData.length, ...senseData))
  }

  /** The answers of a target that can everything. */
  #serve(header: PduRecord): void {
    const tag = header["initiatorTaskTag"] as number
    switch (header["opcode"] as number) {
      case Opcode.nopOut:
        if (tag !== NO_TAG) {
          this.send(encodePdu(NopIn, { final: true, initiatorTaskTag: tag, targetTransferTag: NO_TAG }))
        }
        return
      case Opcode.taskManagementRequest:
        return this.send(encodePdu(TaskManagementResponse, { final: true, initiatorTaskTag: tag }))
      case Opcode.logoutRequest:
        this.send(encodePdu(LogoutResponse, { final: true, initiatorTaskTag: tag }))
        return this.datamover.connectionClose()
    }
  }

  text(tag: number, text: string, final: boolean, targetTransferTag = NO_TAG): void {
    const header = encodePdu(TextResponse, {
      final,
      continue: !final,
      initiatorTaskTag: tag,
      targetTransferTag,
    })
    this.send(header, new TextEncoder().encode(text))
  }

  async(event: number, parameters: readonly number[] = [], data?: Uint8Array): void {
    const [parameter1 = 0, parameter2 = 0, parameter3 = 0] = parameters
    const header = {
      final: true,
      initiatorTaskTag: NO_TAG,
      asyncEvent: event,
      parameter1,
      parameter2,
      parameter3,
    }
    this.send(encodePdu(AsyncMessage, header), data)
  }

  reject(reason: number, rejected: Uint8Array): void {
    this.send(encodePdu(Reject, { final: true, reason, initiatorTaskTag: NO_TAG }), rejected)
  }

  /** A NOP-In that wants an answer. */
  ping(targetTransferTag: number, data?: Uint8Array): void {
    this.send(encodePdu(NopIn, { final: true, initiatorTaskTag: NO_TAG, targetTransferTag }), data, false)
  }

  formatErrorNotify(_reason: number, message: string): void {
    throw new Error(`the initiator sends what it must not: ${message}`)
  }

  numbersNotify(): void {}

  connectionTerminateNotify(): void {
    this.lost = true
  }
}

/** INQUIRY and its pages, READ CAPACITY, MODE SENSE. Undefined: a command without data. */
function setUpData(cdb: Uint8Array, target: ScriptedTarget): Uint8Array | undefined {
  const serial = new TextEncoder().encode(target.serial)
  if (cdb[0] === 0x12 && cdb[1] === 1) {
    const pages: Readonly<Record<number, number[]>> = {
      0x80: [...serial],
      0x83: [0x02, 0x01, 0, serial.length, ...serial],
      0xb0: [0, 8, 0, 0, 0, 0, 0, 64, ...new Array<number>(52).fill(0)],
      0xb2: [0, 0, 0, 0],
    }
    const page = pages[cdb[2]!] ?? []
    return Uint8Array.of(0, cdb[2]!, 0, page.length, ...page)
  }
  if (cdb[0] === 0x12) {
    const data = new Uint8Array(36).fill(0x20)
    data.set([0, 0, 6, 2, 31, 0, 0, 2])
    data.set(new TextEncoder().encode("SCRIPTED"), 8)
    return data
  }
  if (cdb[0] === 0x9e) {
    const data = new Uint8Array(32)
    const view = new DataView(data.buffer)
    view.setUint32(4, target.medium.length / BLOCK - 1)
    view.setUint32(8, BLOCK)
    return data
  }
  return cdb[0] === 0x1a
    ? Uint8Array.of(23, 0, 0x10, 0, 0x08, 18, 4, ...new Array<number>(17).fill(0))
    : undefined
}
