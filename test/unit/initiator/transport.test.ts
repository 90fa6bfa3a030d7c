import assert from "node:assert/strict"
import { describe, it } from "node:test"
import type { ByteStream } from "../../../src/base/byte-stream.ts"
import { sniff } from "../../../src/base/sniff.ts"
import { type Iser, iserOverIwarp } from "../../../src/iser.ts"
import type { TargetDatamover } from "../../../src/iscsi/da.ts"
import { TRANSPORTS_REMEMBERED_MAX, TRANSPORTS_REMEMBERED_MS } from "../../../src/base/limits.ts"
import { NetworkError } from "../../../src/base/network-error.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"
import { TcpInitiatorDatamover } from "../../../src/datamover/tcp/index.ts"
import type { IserConnectOptions, IserConnector, Transport } from "../../../src/initiator/iser.ts"
import { Session } from "../../../src/initiator/session.ts"
import type { SessionOptions } from "../../../src/initiator/session-options.ts"
import { TransportMemory, transportsFor } from "../../../src/initiator/transport.ts"
import { LoginStatus } from "../../../src/iscsi/spec/index.ts"
import type { PortalAddress } from "../../../src/initiator/login.ts"
import { codeOf, outcome, TARGET } from "./helpers.ts"
import { PORT, ScriptedTarget } from "./scripted-target.ts"

/** Stands for iSER: it fails as told, or connects over TCP under iSER's name. */
class Connector implements IserConnector {
  fasterThanTcp = true
  attempts: IserConnectOptions[] = []
  failure: Error | undefined = new NetworkError("ERR_CONNECTION_ENDED", "the peer has closed the connection")
  readonly #target: ScriptedTarget

  constructor(target: ScriptedTarget) {
    this.#target = target
  }

  async connect(portal: PortalAddress, options: IserConnectOptions): Promise<TcpInitiatorDatamover> {
    this.attempts.push(options)
    if (this.failure) throw this.failure
    const stream = await this.#target.network.connect(portal, options)
    const datamover = new TcpInitiatorDatamover(stream, options)
    Object.defineProperty(datamover, "transport", { value: "iser" })
    return datamover
  }
}

function world() {
  const target = new ScriptedTarget()
  const iser = new Connector(target)
  const rdma = { initiatorRecvDataSegmentLength: 8192, targetRecvDataSegmentLength: 8192 }
  const open = (options: Partial<SessionOptions> = {}) =>
    target.run(
      Session.open({
        portal: { host: "10.0.0.1", port: PORT },
        initiatorName: "iqn.2026-01.org.example:tester",
        targetName: TARGET,
        isid: 0x8000_1234_0001,
        services: { ...target.services, iser },
        ...options,
      }),
    )
  /** The target agrees to RDMAExtensions. */
  const agree = () => {
    const { grant } = target
    const iserKeys = { ...rdma, maxOutstandingUnexpectedPdus: 4, maxAhsLength: 256 }
    target.grant = () => {
      const granted = grant()
      return granted.kind === "granted" ? { ...granted, keys: { ...granted.keys, iser: iserKeys } } : granted
    }
  }
  return { target, iser, open, agree }
}

describe("transport: auto", () => {
  it("takes TCP where RDMA is made of software, without a word to it", async () => {
    const { iser, open } = world()
    iser.fasterThanTcp = false
    const session = await open()
    assert.deepEqual([session.transport, iser.attempts.length], ["tcp", 0])
  })

  it("takes TCP where there is no RDMA device", async () => {
    const { target, open } = world()
    assert.equal((await open({ services: target.services })).transport, "tcp")
  })

  it("takes iSER where RDMA is in hardware and the target has it", async () => {
    const { iser, open, agree } = world()
    iser.failure = undefined
    agree()
    const session = await open()
    assert.deepEqual(
      [session.transport, session.keys.rdmaExtensions, iser.attempts.length],
      ["iser", true, 1],
    )
    assert.equal(session.keys.initialR2T, true, "what isn't in the command itself is fetched by the target")
  })

  it("falls back to TCP where a portal doesn't take RDMA, after a short while, and remembers that for some time", async () => {
    const { target, iser, open } = world()
    assert.equal((await open()).transport, "tcp")
    assert.deepEqual([iser.attempts.length, iser.attempts[0]!.deadlineMs], [1, 1000])
    assert.equal((await open()).transport, "tcp")
    assert.equal(iser.attempts.length, 1)
    await target.clock.advance(TRANSPORTS_REMEMBERED_MS)
    await open()
    assert.equal(iser.attempts.length, 2)
  })

  it("falls back to TCP where a target has RDMA but declines the extension", async () => {
    const { iser, open } = world()
    iser.failure = undefined
    assert.equal((await open()).transport, "tcp")
  })

  it("falls back to TCP where a target has no room for RDMA", async () => {
    const { target, iser, open } = world()
    iser.failure = undefined
    const { grant } = target
    target.grant = () => {
      target.grant = grant
      return { kind: "refused", status: LoginStatus.outOfResources, reason: "full" }
    }
    assert.equal((await open()).transport, "tcp")
  })

  it("doesn't try again what a target has refused for another reason", async () => {
    const { target, iser, open, agree } = world()
    iser.failure = undefined
    agree()
    let logins = 0
    target.grant = () => {
      logins++
      return { kind: "refused", status: LoginStatus.authorizationFailure, reason: "no" }
    }
    assert.equal(codeOf(await outcome(open())), "ERR_LOGIN_AUTHORIZATION_FAILURE")
    assert.equal(logins, 1)
  })

  it("tells TCP's failure where both fail", async () => {
    const { target, open } = world()
    target.network.refuse(PORT)
    assert.equal(codeOf(await outcome(open())), "ERR_CONNECTION_REFUSED")
  })

  it("tries iSER where a portal hangs up on a Login Request, as one does that speaks RDMA alone", async () => {
    const { target, iser, open, agree } = world()
    iser.fasterThanTcp = false
    iser.failure = undefined
    agree()
    let refuse = true
    const accept = target.network.listen.bind(target.network)
    await accept({ host: "10.0.0.1", port: 4000 }, (stream) => {
      stream.start({
        buffer: () => new Uint8Array(100),
        received: () => stream.destroy(),
        ended() {},
        closed() {},
      })
    })
    const connect = iser.connect.bind(iser)
    iser.connect = (portal, options) => {
      refuse = false
      return connect({ ...portal, port: PORT }, options)
    }
    const portal = { host: "10.0.0.1", port: 4000 }
    assert.equal((await open({ portal })).transport, "iser")
    assert.equal(refuse, false)
    assert.equal((await open({ portal })).transport, "iser")
    assert.equal(iser.attempts.length, 2)
    assert.equal(target.services.transports.get(portal), "iser")
  })

  it("comes back over what the session used last", async () => {
    const { target, iser, open, agree } = world()
    iser.failure = undefined
    agree()
    const session = await open()
    iser.fasterThanTcp = false
    target.cut()
    await target.until("recovery", () => session.state === "recovering")
    await target.until("the session to be back", () => session.state === "open")
    assert.deepEqual([session.transport, iser.attempts.length], ["iser", 2])
  })
})

describe("transport: tcp and iser", () => {
  it("tcp never asks for RDMA", async () => {
    const { iser, open } = world()
    assert.equal((await open({ transport: "tcp" })).transport, "tcp")
    assert.equal(iser.attempts.length, 0)
  })

  it("iser fails in one line where the portal doesn't have it, and waits longer for it", async () => {
    const { iser, open } = world()
    const error = (await outcome(open({ transport: "iser" }))) as Error
    assert.equal(codeOf(error), "ERR_ISER_NOT_THERE")
    assert.equal(error.message, "no iSER at 10.0.0.1:3260: the peer has closed the connection")
    assert.equal(iser.attempts[0]!.deadlineMs, 10_000)
  })

  it("iser fails as TCP would where nobody listens", async () => {
    const { iser, open } = world()
    iser.failure = new NetworkError("ERR_CONNECTION_REFUSED", "nobody")
    assert.equal(codeOf(await outcome(open({ transport: "iser" }))), "ERR_CONNECTION_REFUSED")
  })

  it("iser fails where there is no RDMA device", async () => {
    const { target, open } = world()
    const error = await outcome(open({ transport: "iser", services: target.services }))
    assert.equal(codeOf(error), "ERR_ISER_NOT_HERE")
  })

  it("iser fails in one line where the target declines the extension", async () => {
    const { iser, open } = world()
    iser.failure = undefined
    const error = (await outcome(open({ transport: "iser" }))) as Error
    assert.match(error.message, /RDMAExtensions is answered with No, on an RDMA connection/)
  })

  it("iser needs no digests, whoever asked for them", async () => {
    const { iser, open, agree } = world()
    iser.failure = undefined
    agree()
    const session = await open({
      transport: "iser",
      keys: { headerDigest: ["CRC32C"], dataDigest: ["CRC32C"] },
    })
    assert.deepEqual([session.keys.headerDigest, session.keys.dataDigest], ["None", "None"])
  })
})

describe("software iWARP towards portals of every kind", () => {
  /** A listener that does as `each` says with every stream. */
  async function portalThat(each: (stream: ByteStream, iser: Iser) => void) {
    const target = new ScriptedTarget()
    const { clock, network, services } = target
    const iser = iserOverIwarp({ clock, network, random: services.random })
    await network.listen({ host: "10.0.0.1", port: 4000 }, (stream) => each(stream, iser))
    const open = (transport: Transport) =>
      outcome(
        target.run(
          Session.open({
            portal: { host: "10.0.0.1", port: 4000 },
            initiatorName: "iqn.2026-01.org.example:tester",
            targetName: TARGET,
            isid: 0x8000_1234_0001,
            transport,
            services: { ...services, iser },
          }),
        ),
      )
    return { target, open }
  }
  const deaf = (stream: ByteStream, received: () => void) =>
    stream.start({
      buffer: () => new Uint8Array(4096),
      received,
      ended: () => stream.end(),
      closed() {},
    })

  it("one that waits for the rest of a PDU, as plain iSCSI targets do, is given up after a while", async () => {
    const { target, open } = await portalThat((stream) => deaf(stream, () => {}))
    const error = (await open("iser")) as Error
    assert.equal(codeOf(error), "ERR_ISER_NOT_THERE")
    assert.match(error.message, /^no iSER at 10\.0\.0\.1:4000: [^\n]+$/)
    assert.ok(target.clock.nowMs() <= 11_000, `${target.clock.nowMs()} ms`)
  })

  it("one that hangs up is given up at once", async () => {
    const { target, open } = await portalThat((stream) => deaf(stream, () => stream.destroy()))
    assert.equal(codeOf(await open("iser")), "ERR_ISER_NOT_THERE")
    assert.ok(target.clock.nowMs() < 1_000)
  })

  it("one that answers with something else is given up at once", async () => {
    const { target, open } = await portalThat((stream) =>
      deaf(stream, () => stream.write([Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")])),
    )
    assert.equal(codeOf(await open("iser")), "ERR_ISER_NOT_THERE")
    assert.ok(target.clock.nowMs() < 1_000)
  })

  it("one that speaks RDMA alone is found by auto, behind TCP", async () => {
    let asked = 0
    const { target, open } = await portalThat((stream, iser) =>
      sniff(stream, 1, (head) => (head[0] === 0x4d ? "mpa" : undefined), {
        sniffed(what, head) {
          if (what === undefined) return stream.destroy()
          asked++
          // That is enough to see: the connection comes about, and is refused by whoever has no target.
          const { clock, services } = target
          const accepted = (datamover: TargetDatamover) => datamover.connectionTerminate()
          iser.accept(stream, head, { clock, budget: services.budget }, { accepted, failed() {} })
        },
        lost() {},
      }),
    )
    await open("auto")
    assert.equal(asked, 1)
  })
})

describe("what is remembered of portals", () => {
  const iser: IserConnector = { fasterThanTcp: false, connect: () => Promise.reject(new Error("unused")) }

  it("is bounded; the oldest goes", () => {
    const transports = new TransportMemory(new VirtualClock())
    const portal = (port: number) => ({ host: "10.0.0.1", port })
    for (let port = 1; port <= TRANSPORTS_REMEMBERED_MAX + 1; port++)
      transports.remember(portal(port), "iser")
    assert.equal(transports.get(portal(1)), undefined)
    assert.equal(transports.get(portal(2)), "iser")
    assert.deepEqual(transportsFor("auto", portal(2), { iser, transports }), ["iser", "tcp"])
    assert.deepEqual(transportsFor("auto", portal(1), { iser, transports }), ["tcp", "iser"])
    assert.deepEqual(transportsFor("auto", portal(2), { iser, transports }, "tcp"), ["tcp", "iser"])
    assert.deepEqual(transportsFor("auto", portal(2), { transports }), ["tcp"])
  })
})
