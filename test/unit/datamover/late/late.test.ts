/** The turn from TCP to iSER behind the final Login Response (RFC 7145 §5.1). */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { ByteStream } from "../../../../src/base/byte-stream.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { SimNetwork } from "../../../../src/base/sim-network.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { memoryOf } from "../../../../src/datamover/iser/registered-memory.ts"
import { LateInitiatorDatamover, LateTargetDatamover } from "../../../../src/datamover/late.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/index.ts"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { encodePdu, LoginRequest, LoginResponse, NopOut } from "../../../../src/iscsi/pdu/index.ts"
import { IwarpDevice } from "../../../../src/rdma/iwarp/index.ts"
import { defaultKeys, InitiatorEnd, TargetEnd } from "../../../suites/datamover-ends.ts"
import { iserKeys } from "../iser/pairs.ts"
import { frame } from "../tcp/frame.ts"

const keys: DatamoverKeys = { ...defaultKeys, ...iserKeys, rdmaExtensions: true }

/** A late target, and the bare stream of whoever has connected to it. */
async function lateTarget() {
  const clock = new VirtualClock()
  const network = new SimNetwork(clock, new SeededRandom(1))
  const device = new IwarpDevice({ clock, network, random: new SeededRandom(2) })
  const budget = new DataBufferBudget(1 << 24)
  let accepted: ByteStream | undefined
  const listener = await network.listen({ host: "10.0.0.1", port: 3260 }, (stream) => {
    accepted = stream
  })
  let stream: ByteStream | undefined
  void network.connect({ host: "10.0.0.1", port: 3260 }).then((made) => {
    stream = made
  })
  const until = async (what: string, done: () => boolean) => {
    if (!(await clock.advance(60_000, done))) throw new Error(`${what}: not within a minute`)
  }
  await until("the connection", () => accepted !== undefined && stream !== undefined)
  const datamover = new LateTargetDatamover(accepted!, {
    clock,
    budget,
    device,
    adopt: (...call) => device.adopt(...call),
  })
  const end = new TargetEnd(datamover)
  datamover.start(end, end)
  const heard: Buffer[] = []
  let closed = false
  const into = new Uint8Array(65536)
  stream!.start({
    buffer: () => into,
    received: (bytes) => void heard.push(Buffer.from(into.subarray(0, bytes))),
    ended: () => stream!.end(),
    closed: () => {
      closed = true
    },
  })
  return {
    clock,
    device,
    budget,
    datamover,
    end,
    stream: stream!,
    heard,
    isClosed: () => closed,
    until,
    listener,
  }
}

const request = frame(encodePdu(LoginRequest, { transit: true }))
const turn = (world: Awaited<ReturnType<typeof lateTarget>>) => {
  const { datamover, end } = world
  end.onPdu = () => {
    datamover.noticeKeyValues(keys)
    datamover.allocateConnectionResources()
    datamover.enableDatamover({ header: encodePdu(LoginResponse, { transit: true }) })
  }
}

async function finish({
  device,
  budget,
  datamover,
  until,
  listener,
}: Awaited<ReturnType<typeof lateTarget>>) {
  datamover.connectionTerminate()
  await until("memory", () => budget.pool.taken <= 1 && memoryOf(device).receiveBytes === 0)
  await listener.close()
  await device.close()
}

describe("iSER behind a login over TCP", () => {
  test("no MPA Request comes: the connection is given up in time", async () => {
    const world = await lateTarget()
    turn(world)
    world.stream.write([request])
    await world.until("the answer", () => world.heard.length > 0)
    assert.equal(world.datamover.transport, "iser")
    assert.equal(Buffer.concat(world.heard).length, 48, "the response, and nothing behind it")
    await world.until("the end", () => world.end.lost.length === 1)
    await world.until("the close", () => world.isClosed())
    await finish(world)
  })

  test("something else than an MPA Request comes, even right behind the last Login Request", async () => {
    for (const early of [true, false]) {
      const world = await lateTarget()
      turn(world)
      const nonsense = frame(encodePdu(NopOut, { initiatorTaskTag: 1 }))
      world.stream.write(early ? [Buffer.concat([request, nonsense])] : [request])
      if (!early) {
        await world.until("the answer", () => world.heard.length > 0)
        world.stream.write([nonsense])
      }
      await world.until("the end", () => world.end.lost.length === 1)
      assert.equal(world.end.seen.length, 1)
      await finish(world)
    }
  })

  test("the connection is dropped while the MPA Request is waited for", async () => {
    for (const how of ["ours", "theirs", "closed"]) {
      const world = await lateTarget()
      turn(world)
      world.stream.write([request])
      await world.until("the answer", () => world.heard.length > 0)
      if (how === "ours") world.datamover.connectionTerminate()
      else if (how === "closed") world.datamover.connectionClose()
      else world.stream.destroy()
      await world.until("the end", () => world.isClosed())
      await world.clock.advance(100)
      assert.equal(world.end.lost.length, how === "theirs" ? 1 : 0)
      await finish(world)
    }
  })

  test("no room for iSER: known before the final Login Response, which can still refuse", async () => {
    const world = await lateTarget()
    const { datamover, device } = world
    memoryOf(device).receiveBytes += 1073741824
    datamover.noticeKeyValues(keys)
    assert.throws(() => datamover.allocateConnectionResources(), { code: "ERR_ISER_RESOURCES" })
    memoryOf(device).receiveBytes -= 1073741824
    datamover.sendControl(encodePdu(LoginResponse, { statusClass: 3, statusDetail: 2 }))
    datamover.connectionClose()
    await world.until("the refusal", () => world.isClosed())
    assert.equal(Buffer.concat(world.heard).length, 48)
    await finish(world)
  })

  test("resources that were had and not used go with the connection", async () => {
    const world = await lateTarget()
    world.datamover.noticeKeyValues(keys)
    world.datamover.allocateConnectionResources()
    assert.ok(memoryOf(world.device).receiveBytes > 0)
    await finish(world)
    const other = await lateTarget()
    other.datamover.noticeKeyValues(keys)
    other.datamover.allocateConnectionResources()
    other.datamover.deallocateConnectionResources()
    await other.until("the receives", () => memoryOf(other.device).receiveBytes === 0)
    await finish(other)
  })

  test("a target that goes on in TCP behind its final Login Response has not understood", async () => {
    const clock = new VirtualClock()
    const network = new SimNetwork(clock, new SeededRandom(1), { latencyMs: [1, 1] })
    const device = new IwarpDevice({ clock, network, random: new SeededRandom(2) })
    let accepted: ByteStream | undefined
    await network.listen({ host: "10.0.0.1", port: 3260 }, (stream) => {
      accepted = stream
    })
    let stream: ByteStream | undefined
    void network.connect({ host: "10.0.0.1", port: 3260 }).then((made) => {
      stream = made
    })
    await clock.advance(1000, () => stream !== undefined && accepted !== undefined)
    const datamover = new LateInitiatorDatamover(stream!, {
      clock,
      budget: new DataBufferBudget(1 << 24),
      device,
      connectOver: (...call) => device.connectOver(...call),
    })
    const end = new InitiatorEnd(datamover)
    datamover.start(end, end)
    end.onPdu = () => {
      datamover.noticeKeyValues(keys)
      datamover.allocateConnectionResources()
      datamover.enableDatamover()
    }
    const response = frame(encodePdu(LoginResponse, { transit: true }))
    accepted!.write([Buffer.concat([response, frame(encodePdu(NopOut, {}))])])
    await clock.advance(60_000, () => end.lost.length === 1)
    assert.equal((end.lost[0] as { code?: string }).code, "ERR_ISER_MESSAGE")
    await clock.advance(100)
    assert.equal(memoryOf(device).receiveBytes, 0)
    await device.close()
  })
})
