/** Data of commands that is sent from where it lies. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { LentData } from "../../../../src/datamover/iser/lent-data.ts"
import { Regions } from "../../../../src/datamover/iser/regions.ts"
import { encodePdu, ScsiCommand, ScsiResponse } from "../../../../src/iscsi/pdu/index.ts"
import type { MemoryRegion, ProtectionDomain } from "../../../../src/rdma/verbs/index.ts"
import { assertBytes, patternOf } from "../../../suites/datamover-ends.ts"
import { message, rawTarget } from "./raw-peer.ts"

function lent() {
  const calls: string[] = []
  const region = {
    valid: true,
    invalidate: () => void calls.push("invalidate"),
    deregister: () => void calls.push("deregister"),
  } as unknown as MemoryRegion
  const pd = {
    registerMemory(_bytes: Uint8Array, access: number) {
      calls.push(`register with ${access}`)
      return region
    },
  } as unknown as ProtectionDomain
  const regions = new Regions(pd)
  const data = new LentData(regions, new Uint8Array(100))
  data.head = { release: () => void calls.push("head") }
  return { calls, regions, data }
}

describe("lent data", () => {
  test("is registered for nobody, until both the request and the command have ended", () => {
    const { calls, data } = lent()
    data.release()
    assert.deepEqual(calls, ["register with 0", "head"])
    data.commandEnded()
    assert.deepEqual(calls.slice(2), ["invalidate"])
  })

  test("may still be sent when its command has ended", () => {
    const { calls, data } = lent()
    data.commandEnded()
    assert.deepEqual(calls, ["register with 0"])
    data.release()
    assert.deepEqual(calls.slice(1), ["head", "invalidate"])
  })

  test("isn't kept for another command once the connection is over", () => {
    const { calls, data, regions } = lent()
    data.commandEnded()
    regions.close()
    data.release()
    assert.deepEqual(calls.slice(1), ["head", "deregister"])
  })
})

describe("iSER initiator: immediate data", () => {
  const LONG = { maxSendDataSegmentLength: 262144 }

  for (const bytes of [1, 8192, 16_384, 100_000, 100_001, 262_144]) {
    test(`${bytes} bytes come behind the command, and no STag with them`, async () => {
      const world = await rawTarget({ keys: LONG, receives: 4, receiveBytes: 300_000 })
      await world.login()
      const { raw, end, datamover, until } = world
      const dataOut = patternOf(1, bytes)
      const values = { write: true, initiatorTaskTag: 1, expectedDataTransferLength: bytes }
      datamover.sendCommand(encodePdu(ScsiCommand, values), { dataOut, unsolicitedBytes: bytes }, dataOut)
      await until("the command", () => raw.messages.length === 1)
      const { bytes: found, view } = raw.messages[0]!
      assert.equal(view.getUint8(0), 0x10, "neither WSV nor RSV")
      assert.equal(view.getUint32(28 + 4), bytes)
      assert.equal(found.length, 28 + 48 + ((bytes + 3) & ~3))
      assertBytes(found.subarray(76, 76 + bytes), dataOut)
      assert.ok(found.subarray(76 + bytes).every((byte) => byte === 0))
      raw.send(message(encodePdu(ScsiResponse, { initiatorTaskTag: 1 })))
      await until("the response", () => end.responseOf(1) !== undefined)
      await world.finish()
    })
  }
})
