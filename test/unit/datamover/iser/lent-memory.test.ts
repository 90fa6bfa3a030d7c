/** What an initiator's commands lend to their target is lent for that alone (RFC 5042 §5, RFC 7145 §11). */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { encodePdu, ScsiCommand, ScsiResponse } from "../../../../src/iscsi/pdu/index.ts"
import { connectIser } from "../../../../src/datamover/iser/index.ts"
import { assertBytes, InitiatorEnd, patternOf } from "../../../suites/datamover-ends.ts"
import { message, RawPeer, rawTarget } from "./raw-peer.ts"
import type { InitiatorWorld } from "./raw-peer.ts"

const WRITE_STAG = 4
const READ_STAG = 16

async function commandOf({ raw, until }: InitiatorWorld) {
  await until("the command", () => raw.messages.length === 1)
  return raw.messages[0]!.view
}

/** The same STag and base, moved by `bytes`. */
function moved(view: DataView, at: number, bytes: number): DataView {
  const header = new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + 28))
  const low = header.getUint32(at + 8) + bytes
  header.setUint32(at + 8, low)
  if (low < 0) header.setUint32(at + 4, header.getUint32(at + 4) - 1)
  return header
}

describe("memory that is lent to a target", () => {
  const attacks: Record<string, (world: InitiatorWorld, view: DataView) => void> = {
    "to be read can't be written": ({ raw }, view) => raw.write(Uint8Array.of(1), view, WRITE_STAG),
    "isn't reached before its beginning, where unsolicited data lies": ({ raw }, view) =>
      void raw.read(64, moved(view, WRITE_STAG, -64), WRITE_STAG),
    "isn't reached behind its end": ({ raw }, view) =>
      void raw.read(64, moved(view, WRITE_STAG, 4096 - 32), WRITE_STAG),
  }
  for (const [name, attack] of Object.entries(attacks)) {
    test(name, async () => {
      const world = await rawTarget()
      await world.login()
      const { raw, end, settle, datamover } = world
      const dataOut = patternOf(1, 8192)
      const values = { write: true, initiatorTaskTag: 1, expectedDataTransferLength: 8192 }
      const buffers = { dataOut, unsolicitedBytes: 4096 }
      datamover.sendCommand(encodePdu(ScsiCommand, values), buffers, dataOut.subarray(0, 4096))
      attack(world, await commandOf(world))
      await settle()
      assert.equal(raw.failures.length, 1)
      assert.equal(raw.reads, 0)
      assert.equal(end.lost.length, 1)
      assertBytes(dataOut, patternOf(1, 8192))
      await world.finish()
    })
  }

  test("to be written can't be read", async () => {
    const world = await rawTarget()
    await world.login()
    const { raw, end, settle } = world
    end.read(1, 4096)
    raw.read(64, await commandOf(world), READ_STAG)
    await settle()
    assert.equal(raw.failures.length, 1)
    assert.equal(raw.reads, 0)
    await world.finish()
  })

  test("is out of reach for the target of another session, though it knows the STag", async () => {
    const world = await rawTarget()
    await world.login()
    const { raw, end, active, passive, clock, budget, until, settle } = world
    end.read(1, 4096)
    const stag = await commandOf(world)
    const other = new RawPeer(passive)
    other.receive(4)
    const listener = await passive.listen({ host: "10.0.0.1", port: 3261 }, (request) => {
      void request.accept({ qp: other.qp, disconnected: other.disconnected }).then((connection) => {
        other.connection = connection
      })
    })
    const second = await connectAnother()
    other.write(patternOf(9, 64), stag, READ_STAG)
    await until("the refusal", () => other.failures.length === 1)
    await settle()
    assert.ok(end.dataIn.get(1)!.every((byte) => byte === 0))
    assert.deepEqual(end.lost, [])
    // The session it belongs to goes on.
    raw.write(patternOf(1, 4096), stag, READ_STAG)
    raw.send(message(encodePdu(ScsiResponse, { initiatorTaskTag: 1 })))
    await until("the response", () => end.responseOf(1) !== undefined)
    assertBytes(end.dataIn.get(1), patternOf(1, 4096))
    second.connectionTerminate()
    await listener.close()
    await world.finish()

    async function connectAnother() {
      const connecting = connectIser((how) => active.connect({ host: "10.0.0.1", port: 3261 }, how), {
        clock,
        budget,
        device: active,
      })
      await until("the other connection", () => other.connection !== undefined)
      const datamover = await connecting
      const idle = new InitiatorEnd(datamover)
      datamover.start(idle, idle)
      return datamover
    }
  })
})
