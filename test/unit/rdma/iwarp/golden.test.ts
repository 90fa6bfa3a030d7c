/** What Linux's siw puts on the wire, read by us, and written by us to the last bit. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { describe, test } from "node:test"
import { Access, SendOpcode } from "../../../../src/rdma/verbs/index.ts"
import { Inbox, InboxMemory } from "../../../../src/rdma/iwarp/inbox.ts"
import type { Memory } from "../../../../src/rdma/iwarp/memory-pool.ts"
import { decodeMpaFrame, encodeMpaFrame, privateDataBytes } from "../../../../src/rdma/iwarp/mpa/frame.ts"
import type { MpaFrame } from "../../../../src/rdma/iwarp/mpa/frame.ts"
import { ReadRequestHeader, TaggedHeader, UntaggedHeader } from "../../../../src/rdma/iwarp/wire.ts"
import { same } from "../../../suites/verbs-ends.ts"
import { acceptedRaw, connectedRaw, fpdu, write } from "./raw.ts"

interface Twin {
  readonly tagged: boolean
  readonly last: boolean
  readonly opcode: number
  readonly stag: number
  readonly offsetHigh: number
  readonly offsetLow: number
  readonly queueNumber: number
  readonly messageSequence: number
  readonly messageOffset: number
  readonly payloadBytes: number
  readonly read?: Readonly<Record<string, number>>
}

interface Golden {
  readonly mpa: readonly {
    readonly name: string
    readonly hex: readonly string[]
    readonly twin: Omit<MpaFrame, "privateData"> & { readonly privateData: string }
  }[]
  readonly fpdus: readonly { readonly name: string; readonly hex: readonly string[]; readonly twin: Twin }[]
}

const golden = JSON.parse(
  readFileSync(new URL("../../../golden/iwarp.json", import.meta.url), "utf8"),
) as Golden
const bytesOf = ({ hex }: { hex: readonly string[] }): Buffer => Buffer.from(hex.join(""), "hex")

/** What an inbox finds in one FPDU. */
function found(bytes: Uint8Array): { memory: Memory; at: number; ulpduBytes: number } {
  let result: { memory: Memory; at: number; ulpduBytes: number } | undefined
  const inbox = new Inbox(new InboxMemory(), {
    arrived: (memory, at, ulpduBytes) => {
      result = { memory, at, ulpduBytes }
      return false
    },
    begins: () => undefined,
    foreseen: () => false,
    placed: () => {},
    broken: (why) => assert.fail(why),
  })
  inbox.crc = true
  inbox.buffer().set(bytes)
  inbox.received(bytes.length)
  assert.ok(result)
  assert.equal(inbox.withinFpdu, false)
  return result
}

describe("siw's MPA frames", () => {
  for (const frame of golden.mpa) {
    test(frame.name, () => {
      const bytes = bytesOf(frame)
      const { kind } = frame.twin
      assert.equal(privateDataBytes(bytes.subarray(0, 20), kind), bytes.length - 20)
      const decoded = decodeMpaFrame(bytes, kind)
      assert.ok(typeof decoded !== "string")
      assert.deepEqual(
        { ...decoded, privateData: Buffer.from(decoded.privateData).toString("hex") },
        frame.twin,
      )
      same(encodeMpaFrame(decoded), bytes)
    })
  }
})

describe("siw's FPDUs", () => {
  for (const frame of golden.fpdus) {
    const { name, twin } = frame
    test(`${name}: read`, () => {
      const { memory, at, ulpduBytes } = found(bytesOf(frame))
      const header = twin.tagged ? new TaggedHeader(memory.view, at) : new UntaggedHeader(memory.view, at)
      const { tagged, last, opcode, ddpVersion, rdmapVersion } = header
      assert.deepEqual([ddpVersion, rdmapVersion], [1, 1])
      const { payloadBytes, read, ...fields } = twin
      const front =
        header instanceof TaggedHeader
          ? {
              tagged,
              last,
              opcode,
              stag: header.stag,
              offsetHigh: header.offsetHigh,
              offsetLow: header.offsetLow,
            }
          : {
              tagged,
              last,
              opcode,
              stag: header.invalidateStag,
              queueNumber: header.queueNumber,
              messageSequence: header.messageSequence,
              messageOffset: header.messageOffset,
            }
      assert.deepEqual(front, fields)
      assert.equal(ulpduBytes - (twin.tagged ? 14 : 18), payloadBytes)
      if (read === undefined) return
      const request = new ReadRequestHeader(memory.view, at + 18)
      for (const [field, value] of Object.entries(read))
        assert.equal(request[field as keyof ReadRequestHeader], value, field)
    })

    test(`${name}: written`, async () => {
      const bytes = bytesOf(frame)
      same(await written(twin, bytes), bytes)
    })
  }
})

/** What we send for the same message: the same bytes. */
async function written(twin: Twin, bytes: Buffer): Promise<Buffer> {
  const payload = bytes.subarray(2 + (twin.tagged ? 14 : 18)).subarray(0, twin.payloadBytes)
  if (twin.opcode === 2) return answer(twin, payload)
  // Sends have 1424 bytes of payload to a segment there, as with us.
  const raw = await connectedRaw({ device: { fpduBytes: 1442 } })
  const { end } = raw
  const before = twin.messageOffset ?? 0
  const after = twin.last ? 0 : 10
  end.memory.set(payload, before)
  for (let i = 1; i < twin.messageSequence; i++) end.send(i, 0, 0)
  await raw.turn()
  raw.stream.written()
  if (twin.opcode === 1) {
    const { readBytes = 0, sourceStag = 0, sourceHigh = 0, sourceLow = 0 } = twin.read ?? {}
    const from = { rkey: sourceStag, remoteHigh: sourceHigh, remoteLow: sourceLow }
    end.post(99, SendOpcode.rdmaRead, [end.at(0, readBytes)], from)
    await raw.turn()
    const ours = raw.stream.written()
    // Where it is to go is each one's own business.
    bytes.copy(ours, 20, 20, 32)
    return fpdu(ours.subarray(2, 2 + 18 + 28))
  }
  const to = { rkey: twin.stag, remoteHigh: twin.offsetHigh, remoteLow: twin.offsetLow }
  const opcode = [SendOpcode.rdmaWrite, 0, 0, SendOpcode.send, SendOpcode.sendWithInvalidate][twin.opcode]!
  const fields = opcode === SendOpcode.rdmaWrite ? to : { invalidateRkey: twin.stag }
  end.post(99, opcode, [end.at(0, before + twin.payloadBytes + after)], fields)
  await raw.turn()
  const all = raw.stream.written()
  if (after > 0) return all.subarray(0, bytes.length)
  return all.subarray(all.length - bytes.length)
}

async function answer(twin: Twin, payload: Buffer): Promise<Buffer> {
  const raw = await acceptedRaw()
  const bytes = new Uint8Array(payload)
  const mr = raw.end.pd.registerMemory(bytes, Access.RemoteRead)
  const request = Buffer.alloc(18 + 28)
  request.writeUInt16BE(0x4141)
  request.writeUInt32BE(1, 6)
  request.writeUInt32BE(1, 10)
  const fields = [
    twin.stag,
    twin.offsetHigh,
    twin.offsetLow,
    payload.length,
    mr.rkey,
    mr.addressHigh,
    mr.addressLow,
  ]
  for (const [i, field] of fields.entries()) request.writeUInt32BE(field, 18 + 4 * i)
  await raw.feed(write(raw.end.mr, 0, new Uint8Array(0)), request)
  return raw.stream.written()
}
