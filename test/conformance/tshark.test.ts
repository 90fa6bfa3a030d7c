/** Wireshark's dissector reads what we send as we meant it: headers field by field, and whole sessions without a flaw. */
import assert from "node:assert/strict"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { after, describe, test } from "node:test"
import { SeededRandom } from "../../src/base/random.ts"
import {
  type AnyPduType,
  BHS_BYTES,
  DataIn,
  decodePdu,
  encodePdu,
  LoginRequest,
  LoginResponse,
  type PduRecord,
  pduTypeOf,
  pduTypes,
  ScsiCommand,
} from "../../src/iscsi/pdu/index.ts"
import { baseSeed } from "../seed.ts"
import { run, succeed } from "./command.ts"
import { Capture } from "./pcap.ts"
import { MiB, Scratch, serve } from "./serve.ts"

/** Our field's name to tshark's, where all PDUs share it. */
const common: Readonly<Record<string, string>> = {
  opcode: "iscsi.opcode",
  immediate: "iscsi.I",
  totalAhsWords: "iscsi.totalahslength",
  dataSegmentBytes: "iscsi.datasegmentlength",
  initiatorTaskTag: "iscsi.initiatortasktag",
  targetTransferTag: "iscsi.targettransfertag",
  referencedTaskTag: "iscsi.taskmanfun.referencedtasktag",
  cmdSn: "iscsi.cmdsn",
  statSn: "iscsi.statsn",
  expStatSn: "iscsi.expstatsn",
  expCmdSn: "iscsi.expcmdsn",
  maxCmdSn: "iscsi.maxcmdsn",
  refCmdSn: "iscsi.refcmdsn",
  dataSn: "iscsi.datasn",
  expDataSn: "iscsi.expdatasn",
  r2tSn: "iscsi.r2tsn",
  bufferOffset: "iscsi.bufferOffset",
  desiredDataTransferLength: "iscsi.desireddatalength",
  expectedDataTransferLength: "iscsi.scsicommand.expecteddatatransferlength",
  read: "iscsi.scsicommand.R",
  write: "iscsi.scsicommand.W",
  taskAttribute: "iscsi.scsicommand.attr",
  function: "iscsi.taskmanfun.function",
  reasonCode: "iscsi.logout.reason",
  time2Wait: "iscsi.time2wait",
  time2Retain: "iscsi.time2retain",
  tsih: "iscsi.tsih",
  cid: "iscsi.cid",
  transit: "iscsi.login.T",
  currentStage: "iscsi.login.csg",
  nextStage: "iscsi.login.nsg",
  versionMax: "iscsi.versionmax",
  versionMin: "iscsi.versionmin",
  versionActive: "iscsi.versionactive",
  asyncEvent: "iscsi.asyncevent",
  parameter1: "iscsi.parameter1",
  parameter2: "iscsi.parameter2",
  parameter3: "iscsi.parameter3",
  reason: "iscsi.reject.reason",
  begRun: "iscsi.snack.begrun",
  runLength: "iscsi.snack.runlength",
  bidirectionalReadResidualCount: "iscsi.scsiresponse.bidireadresidualcount",
}
/** Where a name means another field in another PDU. */
const special: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "SCSI Command": { final: "iscsi.scsicommand.F" },
  "SCSI Data-Out": { final: "iscsi.scsidata.F" },
  "SCSI Data-In": {
    final: "iscsi.scsidata.F",
    acknowledge: "iscsi.scsidata.A",
    statusPresent: "iscsi.scsidata.S",
    overflow: "iscsi.scsidata.O",
    underflow: "iscsi.scsidata.U",
    residualCount: "iscsi.scsidata.readresidualcount",
  },
  "SCSI Response": {
    status: "iscsi.scsiresponse.status",
    response: "iscsi.scsiresponse.response",
    residualCount: "iscsi.scsiresponse.residualcount",
  },
  "Task Management Function Response": { response: "iscsi.taskmanfun.response" },
  "Logout Response": { response: "iscsi.logout.response" },
  "Text Request": { final: "iscsi.text.F", continue: "iscsi.text.C" },
  "Text Response": { final: "iscsi.text.F", continue: "iscsi.text.C" },
  "Login Request": { continue: "iscsi.login.C" },
  "Login Response": { continue: "iscsi.login.C" },
}

const nameFor = (title: string, field: string): string | undefined => special[title]?.[field] ?? common[field]
const everyName = [
  ...new Set([...Object.values(common), ...Object.values(special).flatMap((names) => Object.values(names))]),
]
const SAMPLES = 16
type Chance = (limit: number) => number

/** What the RFC grants a field, where that isn't every value: what breaks it, tshark takes for no iSCSI at all. */
const legal: Readonly<Record<string, (chance: Chance) => Readonly<Record<string, unknown>>>> = {
  "SCSI Command": (chance) => {
    const reads = chance(2) === 1
    return {
      taskAttribute: chance(5),
      expectedDataTransferLength: chance(2 ** 24),
      read: reads,
      write: !reads,
    }
  },
  "SCSI Data-Out": () => ({}),
  "SCSI Data-In": (chance) => ({
    status: chance(2) * 2,
    statusPresent: false,
    targetTransferTag: 0xffff_ffff,
  }),
  "SCSI Response": (chance) => ({ final: true, status: chance(2) * 2, response: chance(2) }),
  "Task Management Function Request": (chance) => ({ final: true, function: 1 + chance(8) }),
  "Task Management Function Response": (chance) => ({ final: true, response: chance(6) }),
  "Login Request": loginStages,
  "Login Response": loginStages,
  "Text Request": textFlags,
  "Text Response": textFlags,
  "Logout Request": (chance) => ({ final: true, reasonCode: chance(3) }),
  "Logout Response": (chance) => ({ final: true, response: chance(4) }),
  "SNACK Request": () => ({ final: true, type: 0 }),
  "Ready To Transfer (R2T)": (chance) => ({ final: true, desiredDataTransferLength: 1 + chance(2 ** 24) }),
  "Asynchronous Message": (chance) => ({ final: true, initiatorTaskTag: 0xffff_ffff, asyncEvent: chance(5) }),
  Reject: (chance) => ({ final: true, initiatorTaskTag: 0xffff_ffff, reason: 2 + chance(8) }),
  "NOP-Out": () => ({ final: true }),
  "NOP-In": () => ({ final: true }),
}

function loginStages(chance: Chance): Readonly<Record<string, unknown>> {
  const [currentStage, nextStage] =
    [
      [0, 1],
      [0, 3],
      [1, 3],
    ][chance(3)] ?? []
  return { immediate: true, transit: true, continue: false, currentStage, nextStage }
}

function textFlags(chance: Chance): Readonly<Record<string, unknown>> {
  const last = chance(2) === 1
  return { final: last, continue: !last }
}

/** A header of `type` with chance in every field; `data` bytes follow it. */
function sample(type: AnyPduType, random: SeededRandom, data: Uint8Array): Uint8Array {
  const pdu = new Uint8Array(BHS_BYTES + data.length)
  pdu.set(data, BHS_BYTES)
  const view = new type(new DataView(pdu.buffer), 0) as unknown as Record<string, unknown>
  for (const [name, { claims, accessor }] of Object.entries(type.fields)) {
    if (accessor?.set === undefined) continue
    const bits = claims.reduce((sum, mask) => sum + mask.toString(2).replaceAll("0", "").length, 0)
    const value = bits >= 32 ? random.uint32() : random.uint32() % 2 ** bits
    view[name] = typeof view[name] === "boolean" ? value === 1 : value
  }
  const granted = legal[type.title]?.((limit) => random.uint32() % limit) ?? {}
  for (const [name, value] of Object.entries(granted)) if (name in type.fields) view[name] = value
  view["opcode"] = type.opcode
  view["totalAhsWords"] = 0
  view["dataSegmentBytes"] = data.length
  return pdu
}

/** A login that agrees on no digests: without one, tshark guesses. */
function preface(capture: Capture): void {
  const keys = Buffer.from("HeaderDigest=None\0DataDigest=None\0\0\0")
  const header = { transit: true, currentStage: 1, nextStage: 3, dataSegmentBytes: keys.length }
  capture.add("initiator", Buffer.concat([encodePdu(LoginRequest, { ...header, immediate: true }), keys]))
  capture.add("target", Buffer.concat([encodePdu(LoginResponse, header), keys]))
}
const PREFACE_PDUS = 2

interface Dissected {
  /** Operation code of the SCSI command it belongs to, or NaN. */
  readonly operation: number
  readonly malformed: boolean
  /** By tshark's name; absent when the PDU has no such field. */
  readonly values: ReadonlyMap<string, number>
}

async function dissect(path: string): Promise<Dissected[]> {
  const names = ["_ws.malformed", "scsi_sbc.opcode", ...everyName]
  const wanted = names.flatMap((name) => ["-e", name])
  const text = await succeed(
    "tshark",
    "-n",
    "-r",
    path,
    "-Y",
    "iscsi",
    "-T",
    "fields",
    "-E",
    "occurrence=f",
    ...wanted,
  )
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [malformed = "", operation = "", ...cells] = line.split("\t")
      const values = cells.map((cell, i) => [everyName[i] ?? "", numberOf(cell)] as const)
      return {
        operation: numberOf(operation),
        malformed: malformed !== "",
        values: new Map(values.filter(([, value]) => !Number.isNaN(value))),
      }
    })
}

const numberOf = (cell: string): number =>
  cell === "" ? Number.NaN : cell === "True" ? 1 : cell === "False" ? 0 : Number(cell)

/** Fields it knows of, but doesn't show in this PDU (or only in some cases of it). */
const unshown: Readonly<Record<string, readonly string[]>> = {
  "Task Management Function Request": ["expDataSn"],
  "Task Management Function Response": ["totalAhsWords", "dataSegmentBytes"],
  "Logout Request": ["totalAhsWords", "dataSegmentBytes"],
  "Logout Response": ["totalAhsWords", "dataSegmentBytes"],
  "Login Request": ["immediate"],
  "SCSI Data-In": ["targetTransferTag"],
  "Asynchronous Message": ["initiatorTaskTag"],
}

/** Fields of ours that tshark reads as something else, or not at all. */
function differences(record: PduRecord, { values }: Dissected): string[] {
  return Object.entries(record).flatMap(([field, value]) => {
    const name = nameFor(record.pdu, field)
    if (name === undefined || typeof value === "string" || value instanceof Uint8Array) return []
    const theirs = values.get(name)
    if (theirs === undefined && unshown[record.pdu]?.includes(field)) return []
    return theirs === Number(value) ? [] : [`${field}: ours ${Number(value)}, tshark's ${theirs}`]
  })
}

/**
 * Clients first ask for 64 bytes of INQUIRY data, and tshark calls what goes on after its allocation length malformed,
 * though that is what SPC-4 §4.2.5.6 wants.
 */
const isCutShort = ({ operation, values }: Dissected): boolean =>
  operation === 0x12 &&
  values.get("iscsi.opcode") === DataIn.opcode &&
  values.get("iscsi.datasegmentlength") === 64

const fromInitiator = (opcode: number): boolean => opcode < 0x20

describe("tshark", () => {
  const scratch = new Scratch()
  after(() => scratch.remove())

  for (const type of pduTypes) {
    test(`reads ${type.title} as we write it`, async () => {
      const random = new SeededRandom(baseSeed)
      const capture = new Capture()
      preface(capture)
      // tshark shows the rejected PDU's tag in place of the Reject's own, which is always this
      const rejected = sample(ScsiCommand, random, new Uint8Array(0)).fill(0xff, 16, 20)
      const records: PduRecord[] = []
      for (let i = 0; i < SAMPLES; i++) {
        const pdu = sample(type, random, type.title === "Reject" ? rejected : new Uint8Array(0))
        const record = decodePdu(new DataView(pdu.buffer), 0)
        assert.ok(record)
        records.push(record)
        capture.add(fromInitiator(type.opcode) ? "initiator" : "target", pdu)
      }
      const path = scratch.path(`${type.opcode}.pcap`)
      writeFileSync(path, capture.toBuffer())
      const dissected = (await dissect(path)).slice(PREFACE_PDUS)
      assert.equal(dissected.length, records.length)
      const wrong = records.flatMap((record, i) => {
        const read = dissected[i]
        return read ? differences(record, read) : []
      })
      assert.deepEqual(wrong, [], `seed ${baseSeed}`)
    })
  }

  test("finds nothing malformed in sessions of real clients", { timeout: 60_000 }, async () => {
    const served = await serve([scratch.image("lun.img", 16 * MiB), "--listen", "127.0.0.1:0"])
    const recorder = await Recorder.start(Number(new URL(served.url.replace("iscsi:", "http:")).port))
    const url = served.url.replace(/:\d+\//, `:${recorder.port}/`)
    await succeed("iscsi-ls", "-s", url.split("/").slice(0, 3).join("/"))
    for (const page of [0, 0x80, 0x83, 0xb0, 0xb1, 0xb2])
      await succeed("iscsi-inq", "-e", "1", "-c", String(page), url)
    await succeed(
      "qemu-io",
      "-f",
      "raw",
      "-c",
      "write -P 7 0 4M",
      "-c",
      "read -P 7 0 4M",
      "-c",
      "discard 0 1M",
      "-c",
      "flush",
      url,
    )
    for (const family of [
      "SCSI.ModeSense6",
      "SCSI.ReportSupportedOpcodes",
      "SCSI.Read10",
      "iSCSI.iSCSITMF",
      "iSCSI.iSCSIResiduals",
    ]) {
      await run("iscsi-test-cu", ["-d", "-n", "-t", family, url])
    }
    await served.stop()
    await recorder.stop()
    const seen = new Set<string>()
    for (const [i, stream] of recorder.connections.entries()) {
      const path = scratch.path(`session-${i}.pcap`)
      const records = stream.write(path)
      for (const record of records) seen.add(record.pdu)
      const dissected = await dissect(path)
      const flawed = dissected.filter((frame) => frame.malformed && !isCutShort(frame))
      assert.deepEqual(flawed, [], `connection ${i}`)
    }
    const expected = [
      "Login Response",
      "Text Response",
      "SCSI Response",
      "SCSI Data-In",
      "Ready To Transfer (R2T)",
      "Logout Response",
      "Task Management Function Response",
    ]
    assert.deepEqual(
      expected.filter((title) => !seen.has(title)),
      [],
      `seen: ${[...seen].join(", ")}`,
    )
  })
})

/** What went over one connection, PDU by PDU, in the order it was seen. */
class RecordedConnection {
  readonly #pdus: { from: "initiator" | "target"; bytes: Buffer }[] = []
  readonly #rest = { initiator: Buffer.alloc(0), target: Buffer.alloc(0) }

  add(from: "initiator" | "target", chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest[from], chunk])
    for (let length = pduBytes(bytes); length > 0 && bytes.length >= length; length = pduBytes(bytes)) {
      this.#pdus.push({ from, bytes: bytes.subarray(0, length) })
      bytes = bytes.subarray(length)
    }
    this.#rest[from] = bytes
  }

  write(path: string): PduRecord[] {
    const capture = new Capture()
    for (const { from, bytes } of this.#pdus) capture.add(from, bytes)
    writeFileSync(path, capture.toBuffer())
    return this.#pdus.flatMap(({ bytes }) => {
      assert.ok(pduTypeOf(bytes.readUInt8(0) & 0x3f))
      return decodePdu(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0) ?? []
    })
  }
}

/** Length of the PDU that begins here (no digests), or 0 when its header isn't there yet. */
function pduBytes(bytes: Buffer): number {
  if (bytes.length < BHS_BYTES) return 0
  return BHS_BYTES + bytes.readUInt8(4) * 4 + ((bytes.readUIntBE(5, 3) + 3) & ~3)
}

/** Stands between clients and a target on loopback, and keeps what passes. */
class Recorder {
  readonly connections: RecordedConnection[] = []
  readonly #server = createServer((client) => this.#join(client))
  readonly #targetPort: number
  readonly #sockets = new Set<Socket>()

  private constructor(targetPort: number) {
    this.#targetPort = targetPort
  }

  static async start(targetPort: number): Promise<Recorder> {
    const recorder = new Recorder(targetPort)
    recorder.#server.listen(0, "127.0.0.1")
    await once(recorder.#server, "listening")
    return recorder
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  #join(client: Socket): void {
    const target = connect(this.#targetPort, "127.0.0.1")
    const connection = new RecordedConnection()
    this.connections.push(connection)
    for (const [from, source, sink] of [
      ["initiator", client, target],
      ["target", target, client],
    ] as const) {
      this.#sockets.add(source)
      source.on("data", (chunk: Buffer) => {
        connection.add(from, chunk)
        sink.write(chunk)
      })
      source.on("end", () => sink.end())
      source.on("error", () => sink.destroy())
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, "close")
  }
}
