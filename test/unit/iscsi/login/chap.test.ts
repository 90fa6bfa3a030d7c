import assert from "node:assert/strict"
import { test } from "node:test"
import { inspect } from "node:util"
import type { TextPair } from "../../../../src/wire/text.ts"
import {
  ChapAlgorithm,
  ChapConfigurationError,
  ChapInitiator,
  type ChapProof,
  ChapSecret,
  ChapTarget,
  chapAlgorithms,
  checkChap,
} from "../../../../src/iscsi/login/chap.ts"
import { LoginError } from "../../../../src/iscsi/login/errors.ts"
import { alice, ours, random } from "./helpers.ts"

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const fromHex = (text: string) => Uint8Array.from(Buffer.from(text, "hex"))
const pairs = (values: Record<string, string>): TextPair[] =>
  Object.entries(values).map(([key, value]) => ({ key, value }))
const valueOf = (answer: readonly TextPair[], key: string) => answer.find((pair) => pair.key === key)?.value
const fails = (act: () => unknown, reason: RegExp) =>
  assert.throws(
    act,
    (error) => error instanceof LoginError && error.status === 0x0201 && reason.test(error.message),
  )

test("responses are those of other implementations", () => {
  // MD5: recorded from libiscsi 1.20; the others: Python's hashlib over the same octets.
  const challenge = fromHex("dce545ccdf3a2298c2d769379ce5573e")
  const answers = {
    MD5: "76d1b72c6d6cc52554ec1762facb0f3b",
    SHA1: "a87b2eca851cc59ddbc6ef78836dcf5a551379ef",
    SHA256: "468868d0387fccad774e134cdcdfa92f934e81273eee0d8ff13fdd5ff0dcb2a1",
    SHA3_256: "2c363835c30909f912b7a562e55fa4913067938c1800bf1ac52d7b4d285c0357",
  } as const
  for (const [name, answer] of Object.entries(answers)) {
    const algorithm = ChapAlgorithm[name as keyof typeof answers]
    assert.equal(hex(alice.secret.response(algorithm, 180, challenge)), answer, name)
  }
  // Recorded from tgt 1.0.85, which proved itself to us.
  const toTgt = fromHex("00c7af28bcf29ed91c874538cc391457")
  assert.equal(hex(ours.secret.response(5, 164, toTgt)), "aa2249e3fdbdd06e962f330ee5d547b5")
})

test("a secret can't be printed", () => {
  const secret = new ChapSecret("very secret indeed")
  const shown = [
    String(secret),
    "".concat(secret as unknown as string),
    JSON.stringify({ secret }),
    inspect({ secret }),
    inspect(secret, { showHidden: true }),
  ]
  for (const text of shown) {
    assert.ok(!text.includes("very"), text)
    assert.ok(text.includes("[secret]"), text)
  }
  assert.deepEqual(Object.keys(secret), [])
})

test("configurations are checked", () => {
  assert.deepEqual(checkChap([alice], ours), [])
  assert.match(
    checkChap([{ name: "bob", secret: new ChapSecret("short") }])[0]!,
    /"bob" is shorter than 12 bytes/,
  )
  const wrong = (act: () => unknown, reason: RegExp) =>
    assert.throws(act, (error) => error instanceof ChapConfigurationError && reason.test(error.message))
  wrong(
    () => checkChap([alice], { name: "target", secret: new ChapSecret("alicesecret12") }),
    /same in both directions/,
  )
  wrong(() => checkChap([alice, { ...alice }]), /twice/)
  wrong(() => new ChapSecret(""), /empty/)
  wrong(() => new ChapInitiator({ user: alice, algorithms: [] }, random()).start(), /no CHAP algorithm/)
})

/** Runs both sides to the end; throws what either throws. */
function authenticate(target: ChapTarget, proof: ChapProof): ChapInitiator {
  const initiator = new ChapInitiator(proof, random(2))
  const last = target.receive(initiator.receive(target.receive(initiator.start())))
  if (last.length > 0) initiator.receive(last)
  return initiator
}

for (const algorithm of chapAlgorithms) {
  for (const encoding of ["hex", "base64"] as const) {
    test(`both ways with algorithm ${algorithm} in ${encoding}`, () => {
      const target = new ChapTarget({ users: [alice], outgoing: ours, algorithms: [algorithm] }, random())
      const initiator = authenticate(target, { user: alice, target: ours, encoding })
      assert.equal(target.user, "alice")
      assert.ok(initiator.done)
    })
  }
}

test("one way, among several users", () => {
  const bob = { name: "bob", secret: new ChapSecret("bobs own secret") }
  const target = new ChapTarget({ users: [alice, bob], outgoing: ours }, random())
  assert.ok(authenticate(target, { user: bob }).done)
  assert.equal(target.user, "bob")
})

test("the target chooses by its own order of preference among what is offered", () => {
  const choose = (algorithms: readonly ChapAlgorithm[], offer: string) =>
    valueOf(
      new ChapTarget({ users: [alice], algorithms }, random()).receive(pairs({ CHAP_A: offer })),
      "CHAP_A",
    )
  assert.equal(choose(chapAlgorithms, "5,6,7,8"), "8")
  assert.equal(choose([5, 8], "8,5"), "5")
  assert.equal(choose(chapAlgorithms, "99,0x5"), "5")
  fails(() => choose([8], "5,6"), /none of the CHAP algorithms/)
  fails(() => choose([8], ""), /none of the CHAP algorithms/)
})

test("challenges are as long as the digest, and never the same", () => {
  const challenge = (seed: number, offer: string) =>
    valueOf(new ChapTarget({ users: [alice] }, random(seed)).receive(pairs({ CHAP_A: offer })), "CHAP_C")!
  assert.deepEqual(
    ["5", "6", "7", "8"].map((offer) => (challenge(1, offer).length - 2) / 2),
    [16, 20, 32, 32],
  )
  assert.notEqual(challenge(1, "5"), challenge(2, "5"))
})

test("wrong names, wrong secrets and wrong forms are authentication failures", () => {
  const bob = { name: "bob", secret: alice.secret }
  const liar = { name: "alice", secret: new ChapSecret("not her secret") }
  const target = () => new ChapTarget({ users: [alice] }, random())
  fails(() => authenticate(target(), { user: bob }), /unknown CHAP name "bob"/)
  fails(() => authenticate(target(), { user: liar }), /wrong CHAP secret for "alice"/)
  const answer = (values: Record<string, string>) => {
    const side = target()
    side.receive(pairs({ CHAP_A: "5" }))
    return side.receive(pairs(values))
  }
  fails(() => answer({ CHAP_N: "alice" }), /CHAP_R is missing/)
  fails(() => answer({ CHAP_R: "0x00" }), /CHAP_N is missing/)
  fails(() => answer({ CHAP_N: "alice", CHAP_R: "12" }), /not a binary value/)
  fails(() => answer({ CHAP_N: "alice", CHAP_R: `0x${"00".repeat(1025)}` }), /not a binary value/)
  fails(() => answer({ CHAP_N: "alice", CHAP_R: "0x00" }), /wrong CHAP secret/)
  fails(() => target().receive(pairs({ CHAP_N: "alice", CHAP_R: "0x00" })), /CHAP_A is missing/)
})

test("nothing follows a proof", () => {
  const target = new ChapTarget({ users: [alice] }, random())
  const initiator = authenticate(target, { user: alice })
  fails(() => target.receive(pairs({ CHAP_A: "5" })), /after authentication/)
  fails(() => initiator.receive(pairs({ CHAP_A: "5", CHAP_I: "1", CHAP_C: "0x00" })), /after authentication/)
})

test("a key given twice is an error", () => {
  const twice = [...pairs({ CHAP_A: "5" }), ...pairs({ CHAP_A: "6" })]
  assert.throws(() => new ChapTarget({ users: [alice] }, random()).receive(twice), LoginError)
})

test("reflection: the target doesn't answer its own challenge", () => {
  const target = new ChapTarget({ users: [alice], outgoing: ours }, random())
  const asked = target.receive(pairs({ CHAP_A: "5" }))
  const challenge = valueOf(asked, "CHAP_C")!
  const identifier = Number(valueOf(asked, "CHAP_I"))
  const response = alice.secret.response(5, identifier, fromHex(challenge.slice(2)))
  const reflected = { CHAP_N: "alice", CHAP_R: `0x${hex(response)}`, CHAP_I: "9", CHAP_C: challenge }
  fails(() => target.receive(pairs(reflected)), /our own, sent back/)
  assert.equal(target.user, undefined)
})

test("reflection: a response we would have given ourselves proves nothing", () => {
  // One secret in both directions, which checkChap refuses; a target without that check must not be fooled.
  const shared = { name: "alice", secret: ours.secret }
  const target = new ChapTarget({ users: [shared], outgoing: ours }, random())
  fails(() => authenticate(target, { user: shared }), /our own/)
  const initiator = new ChapInitiator({ user: shared, target: ours }, random(2))
  const trusting = new ChapTarget({ users: [shared], outgoing: ours }, random())
  const asked = initiator.receive(trusting.receive(initiator.start()))
  const challenge = fromHex(valueOf(asked, "CHAP_C")!.slice(2))
  const response = ours.secret.response(8, Number(valueOf(asked, "CHAP_I")), challenge)
  fails(() => initiator.receive(pairs({ CHAP_N: "target", CHAP_R: `0x${hex(response)}` })), /our own/)
})

test("an initiator that wants the target's proof gets it, or fails", () => {
  const target = (outgoing = ours) => new ChapTarget({ users: [alice], outgoing }, random())
  fails(
    () => authenticate(new ChapTarget({ users: [alice] }, random()), { user: alice, target: ours }),
    /none is configured/,
  )
  const impostor = { name: "target", secret: new ChapSecret("some other secret") }
  fails(() => authenticate(target(impostor), { user: alice, target: ours }), /not proved/)
  fails(() => authenticate(target({ ...ours, name: "x" }), { user: alice, target: ours }), /calls itself "x"/)
  const anyName = { name: "", secret: ours.secret }
  assert.ok(authenticate(target({ ...ours, name: "x" }), { user: alice, target: anyName }).done)
})

test("an initiator refuses what it hasn't offered", () => {
  const initiator = () => new ChapInitiator({ user: alice, algorithms: [8] }, random())
  fails(() => initiator().receive(pairs({ CHAP_A: "5", CHAP_I: "1", CHAP_C: "0x00" })), /wasn't offered/)
  fails(() => initiator().receive(pairs({ CHAP_A: "8", CHAP_I: "256", CHAP_C: "0x00" })), /0 to 255/)
  fails(() => initiator().receive(pairs({ CHAP_A: "8", CHAP_I: "1" })), /CHAP_C is missing/)
})
