/** One port for plain iSCSI and iSER: the first bytes say which. */
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import type { ByteStream } from "../../../src/base/byte-stream.ts"
import { LOGIN_DEADLINE_MS } from "../../../src/base/limits.ts"
import { openingOf } from "../../../src/target/arrival.ts"
import type { IserAcceptor, IserAcceptUser } from "../../../src/target/iser.ts"
import { TargetWorld } from "../../suites/target-world.ts"

/** Keeps what it's asked to accept. */
class Asked implements IserAcceptor {
  readonly heads: string[] = []
  stream: ByteStream | undefined
  user: IserAcceptUser | undefined
  closed = false

  accept(stream: ByteStream, head: Uint8Array, _around: unknown, user: IserAcceptUser): void {
    this.heads.push(Buffer.from(head).toString("latin1"))
    this.stream = stream
    this.user = user
    stream.handOver({
      buffer: () => new Uint8Array(100),
      received() {},
      ended: () => stream.destroy(),
      closed: () => {
        this.closed = true
        user.failed(new Error("the stream is gone"))
      },
    })
  }
}

async function meet(iser?: boolean) {
  const asked = new Asked()
  const world = new TargetWorld({ entity: { iser: asked } })
  const portal = await world.entity.listen({ host: "10.0.0.1", port: 3260, ...(iser === false && { iser }) })
  return { world, asked, portal }
}

const reasons = (world: TargetWorld) =>
  world.logged("login not completed").map(({ fields }) => fields["reason"])

describe("the first bytes at a portal", () => {
  it("tell a Login Request, immediate or not, from an MPA Request, and from anything else", () => {
    const of = (text: string) => openingOf(Buffer.from(text, "latin1"))
    assert.deepEqual(["\x43", "\x03", "\x43\x87\0\0"].map(of), ["login", "login", "login"])
    assert.deepEqual(["M", "MP", "MPA"].map(of), [undefined, undefined, undefined])
    assert.equal(of("MPA "), "mpa")
    for (let first = 0; first < 256; first++) {
      const opening = openingOf(Uint8Array.of(first))
      const expected = first === 0x03 || first === 0x43 ? "login" : first === 0x4d ? undefined : "neither"
      assert.equal(opening, expected, `0x${first.toString(16)}`)
    }
    for (const text of ["MX", "MPX", "MPAX", "M\0", "mpa "]) assert.equal(of(text), "neither", text)
  })

  for (let cut = 1; cut <= 5; cut++) {
    it(`a Login Request that comes in two parts of ${cut} bytes and the rest logs in over TCP`, async () => {
      const { world, asked } = await meet()
      const initiator = await world.connect()
      const { stream } = initiator
      const write = stream.write.bind(stream)
      let first = true
      stream.write = (pieces) => {
        const bytes = Buffer.concat(pieces)
        if (!first) return write([bytes])
        first = false
        write([bytes.subarray(0, cut)])
        void world.clock.after(50, "test: the rest", () => write([bytes.subarray(cut)]))
        return undefined
      }
      await initiator.login()
      assert.deepEqual(
        world.target.sessions().map(({ transport }) => transport),
        ["tcp"],
      )
      assert.deepEqual(asked.heads, [])
      initiator.stream.destroy()
      await world.close()
    })

    it(`an MPA Request that comes in two parts of ${cut} bytes and the rest goes to iSER`, async () => {
      const { world, asked, portal } = await meet()
      const { stream } = await world.connect()
      const request = Buffer.from("MPA ID Req Frame")
      stream.write([request.subarray(0, cut)])
      await world.pass(50)
      assert.equal(portal.loginsPending, 1)
      stream.write([request.subarray(cut)])
      await world.pass(50)
      assert.deepEqual(asked.heads, ["MPA "])
      assert.equal(portal.loginsPending, 1, "it's still logging in")
      stream.destroy()
      await world.pass(50)
      assert.equal(portal.loginsPending, 0)
      assert.deepEqual(reasons(world), ["the stream is gone"])
      await world.close()
    })
  }

  it("anything else is dropped at the first byte that is wrong", async () => {
    for (const garbage of ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "MPB", "\0", "\xc3"]) {
      const { world, asked, portal } = await meet()
      const initiator = await world.connect()
      initiator.stream.write([Buffer.from(garbage, "latin1")])
      await initiator.gone()
      assert.deepEqual([asked.heads, portal.loginsPending], [[], 0])
      assert.deepEqual(reasons(world), ["what it begins with is neither a Login Request nor an MPA Request"])
      await world.close()
    }
  })

  it("that never come cost a place until the login's deadline, and no longer", async () => {
    const { world, portal } = await meet()
    const initiator = await world.connect()
    await world.pass(LOGIN_DEADLINE_MS - 100)
    assert.equal(portal.loginsPending, 1)
    assert.equal(initiator.closed, false)
    await world.pass(200)
    assert.equal(portal.loginsPending, 0)
    assert.equal(initiator.closed, true)
    assert.deepEqual(reasons(world), ["no login within 15 s"])
    await world.close()
  })

  it("don't begin the login's deadline anew", async () => {
    const { world, portal } = await meet()
    const { stream } = await world.connect()
    await world.pass(LOGIN_DEADLINE_MS - 100)
    stream.write([Uint8Array.of(0x43, 0x87, 0, 0)])
    await world.pass(50)
    assert.equal(portal.loginsPending, 1)
    await world.pass(100)
    assert.equal(portal.loginsPending, 0)
    assert.deepEqual(reasons(world), ["no login within 15 s"])
    await world.close()
  })

  it("of an RDMA connection that doesn't come about hold its place no longer than that", async () => {
    const { world, asked, portal } = await meet()
    const { stream } = await world.connect()
    stream.write([Buffer.from("MPA ID Req Frame")])
    await world.pass(LOGIN_DEADLINE_MS + 100)
    assert.deepEqual([asked.closed, portal.loginsPending], [true, 0])
    assert.deepEqual(reasons(world), ["no login within 15 s"])
    await world.close()
  })

  it("mean nothing once the portal closes", async () => {
    const { world, asked, portal } = await meet()
    const silent = await world.connect()
    const { stream } = await world.connect()
    stream.write([Buffer.from("MPA ID Req Frame")])
    await world.pass(50)
    await portal.close()
    await silent.gone()
    assert.deepEqual([asked.closed, portal.loginsPending], [true, 0])
    await world.close()
  })

  it("of an MPA Request are hung up on at once where iSER is off, so that nobody waits for an answer", async () => {
    const { world, asked, portal } = await meet(false)
    assert.deepEqual(portal.transports, ["tcp"])
    const initiator = await world.connect()
    initiator.stream.write([Buffer.from("MPA ID Req Frame")])
    await initiator.gone()
    assert.deepEqual(asked.heads, [])
    assert.deepEqual(reasons(world), ["an MPA Request, where iSER is off"])
    const other = await world.connect()
    await other.login()
    other.stream.destroy()
    await world.close()
  })
})
