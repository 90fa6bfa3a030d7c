import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { LOGINS_PENDING_MAX, SESSIONS_MAX } from "../../../src/base/limits.ts"
import { ChapSecret } from "../../../src/iscsi/login/index.ts"
import { NopOut, ScsiCommand, TextRequest } from "../../../src/iscsi/pdu/index.ts"
import { LoginStatus } from "../../../src/iscsi/spec/index.ts"
import { INITIATOR, type RawInitiator, statusOf, TARGET } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

/** The login is refused with that status, the connection ends, and nothing is left. */
async function expectRefusal(world: TargetWorld, initiator: RawInitiator, status: number): Promise<void> {
  const { fields } = await initiator.next("Login Response")
  assert.equal(statusOf(fields).toString(16), status.toString(16))
  assert.equal(fields["transit"], false)
  await initiator.gone()
  await world.assertIdle()
}

const leading = (target = TARGET): string[] => [`InitiatorName=${INITIATOR}`, `TargetName=${target}`]

describe("logins are refused", () => {
  const refusals: readonly [
    title: string,
    status: number,
    options: ConstructorParameters<typeof TargetWorld>[0],
    login: (initiator: RawInitiator) => void,
  ][] = [
    [
      "to a target that isn't there: 0203",
      LoginStatus.notFound,
      {},
      (initiator) => initiator.sendLogin(leading("iqn.2026-01.org.example:other")),
    ],
    [
      "through a portal group the target isn't in: 0203",
      LoginStatus.notFound,
      { target: { portalGroups: [2] } },
      (initiator) => initiator.sendLogin(leading()),
    ],
    [
      "to an initiator that isn't on the list: 0202",
      LoginStatus.authorizationFailure,
      { target: { access: { initiators: ["iqn.2026-01.org.example:somebody*"] } } },
      (initiator) => initiator.sendLogin(leading()),
    ],
    [
      "from an address that isn't allowed: 0202",
      LoginStatus.authorizationFailure,
      { target: { access: { allow: ["198.51.100.0/24"] } } },
      (initiator) => initiator.sendLogin(leading()),
    ],
    [
      "from an address that is denied: 0202",
      LoginStatus.authorizationFailure,
      { target: { access: { allow: ["192.0.2.0/24"], deny: ["192.0.2.10"] } } },
      (initiator) => initiator.sendLogin(leading()),
    ],
    [
      "without authentication where it's required: 0201",
      LoginStatus.authenticationFailure,
      { target: { auth: { users: [{ name: "alice", secret: new ChapSecret("alicesecret12") }] } } },
      (initiator) => initiator.sendLogin(leading()),
    ],
    [
      "without an initiator's name: 0207",
      LoginStatus.missingParameter,
      {},
      (initiator) => initiator.sendLogin([`TargetName=${TARGET}`]),
    ],
    [
      "in a stage that is none: 0200",
      LoginStatus.initiatorError,
      {},
      (initiator) => initiator.sendLogin(leading(), { currentStage: 3, transit: false, nextStage: 0 }),
    ],
    [
      "in a stage that isn't current: 0200",
      LoginStatus.initiatorError,
      {},
      (initiator) => {
        initiator.sendLogin(leading(), { currentStage: 0, transit: false, nextStage: 0, continue: true })
        initiator.sendLogin([], { currentStage: 1 })
      },
    ],
    [
      "into a session that isn't there: 020a",
      LoginStatus.sessionDoesNotExist,
      {},
      (initiator) => initiator.sendLogin(leading(), { tsih: 77 }),
    ],
    [
      "with a version there is none of: 0205",
      LoginStatus.unsupportedVersion,
      {},
      (initiator) => initiator.sendLogin(leading(), { versionMin: 1, versionMax: 1 }),
    ],
  ]

  for (const [title, status, options, login] of refusals) {
    it(title, async () => {
      const world = await TargetWorld.open(options)
      const initiator = await world.connect()
      login(initiator)
      if (title.includes("isn't current")) await initiator.next("Login Response")
      await expectRefusal(world, initiator, status)
      assert.equal(world.logged("login refused").length, 1)
    })
  }

  it("when another PDU comes within the login: 020b", async () => {
    for (const type of [NopOut, ScsiCommand, TextRequest]) {
      const world = await TargetWorld.open()
      const initiator = await world.connect()
      initiator.sendLogin(leading(), { currentStage: 0, transit: false, nextStage: 0 })
      assert.equal(statusOf((await initiator.next("Login Response")).fields), 0)
      initiator.send(type as typeof NopOut, { immediate: true, final: true })
      await expectRefusal(world, initiator, LoginStatus.invalidDuringLogin)
    }
  })

  it("when a PDU comes within the login that no target takes: 020b", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    initiator.sendLogin(leading(), { currentStage: 0, transit: false, nextStage: 0 })
    await initiator.next("Login Response")
    initiator.send(NopOut, { opcode: 0x1c })
    await expectRefusal(world, initiator, LoginStatus.invalidDuringLogin)
  })

  it("without a word when the first PDU is no Login Request", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    initiator.nop()
    await initiator.gone()
    assert.deepEqual(initiator.arrived, [])
    await world.assertIdle()
  })

  it("when the target has all the sessions it may have: 0302", async () => {
    const world = await TargetWorld.open()
    const count = world.entity.sessions.count
    world.entity.sessions.count = () => SESSIONS_MAX
    const initiator = await world.connect()
    initiator.sendLogin(leading())
    await initiator
      .next("Login Response")
      .then(({ fields }) => assert.equal(statusOf(fields), LoginStatus.outOfResources))
    world.entity.sessions.count = count
    await initiator.gone()
    await world.assertIdle()
  })

  it("when the target is removed while the login is under way: 0204", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    initiator.sendLogin(leading(), { currentStage: 0, nextStage: 1 })
    await initiator.next("Login Response")
    await world.entity.removeTarget(TARGET)
    initiator.sendLogin([])
    await expectRefusal(world, initiator, LoginStatus.targetRemoved)
  })

  it("when the portal closes while the login is under way: 0301", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    initiator.sendLogin(leading(), { currentStage: 0, nextStage: 1 })
    await initiator.next("Login Response")
    const silent = await world.connect()
    await world.close()
    assert.equal(statusOf((await initiator.next("Login Response")).fields), LoginStatus.serviceUnavailable)
    assert.deepEqual(silent.arrived, [])
    assert.equal(silent.closed, true)
  })
})

describe("a login that doesn't come to its end", () => {
  it("is ended after the deadline, gives back its place, and delays nobody", async () => {
    const world = await TargetWorld.open({ entity: { loginDeadlineMs: 15_000 } })
    const [portal] = world.entity.portals
    const silent = await world.connect()
    const halfway = await world.connect()
    halfway.sendLogin(leading(), { currentStage: 0, nextStage: 1 })
    await halfway.next("Login Response")
    assert.equal(portal!.loginsPending, 2)

    const before = world.clock.nowMs()
    const other = await world.initiator({ isid: 2 })
    assert.ok(world.clock.nowMs() - before < 100, "others log in meanwhile")

    await silent.gone()
    await halfway.gone()
    assert.equal(portal!.loginsPending, 0)
    assert.equal(world.logged("login not completed").length, 2)
    assert.equal(other.closed, false)
    await world.close()
  })

  it("leaves nothing behind when its connection is lost", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    initiator.sendLogin(leading(), { currentStage: 0, nextStage: 1 })
    await initiator.next("Login Response")
    world.sim.links.at(-1)!.cut()
    await initiator.gone()
    await world.assertIdle()
  })

  it("leaves no session behind when its connection is lost at any moment around the last request", async () => {
    for (let afterMs = 0; afterMs < 3; afterMs += 0.1) {
      const world = await TargetWorld.open({ seed: 1 + Math.round(afterMs * 10) })
      const initiator = await world.connect()
      initiator.sendLogin(leading())
      await world.pass(afterMs)
      world.sim.links.at(-1)!.cut()
      await world.assertIdle()
    }
  })
})

describe("places for logins", () => {
  it(`are ${LOGINS_PENDING_MAX}; the address that has most of them makes room for others`, async () => {
    const world = await TargetWorld.open()
    const [portal] = world.entity.portals
    const greedy: RawInitiator[] = []
    for (let i = 0; i < LOGINS_PENDING_MAX; i++) greedy.push(await world.connect({ from: "198.51.100.66" }))
    assert.equal(portal!.loginsPending, LOGINS_PENDING_MAX)

    const one = await world.connect({ from: "198.51.100.66" })
    await one.gone()
    assert.equal(portal!.loginsPending, LOGINS_PENDING_MAX, "its own newcomer finds no place")

    const modest = await world.connect({ from: "192.0.2.1" })
    await modest.login()
    await greedy[0]!.gone()
    assert.equal(greedy[1]!.closed, false)
    assert.equal(portal!.loginsPending, LOGINS_PENDING_MAX - 1)
    await world.close()
  })
})
