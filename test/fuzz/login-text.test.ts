/** Logins whose texts and headers are changed on the way, and connections that send anything but a login. */
import assert from "node:assert/strict"
import { test } from "node:test"
import type { ByteStream } from "../../src/base/byte-stream.ts"
import { sleep } from "../../src/base/clock.ts"
import { LOGIN_ROUNDS_MAX } from "../../src/base/limits.ts"
import { SeededRandom } from "../../src/base/random.ts"
import {
  ChapSecret,
  InitiatorLogin,
  initiatorKeyPreferences,
  type LoginPdu,
  type NegotiatedKeys,
  TargetLogin,
  targetKeyPreferences,
} from "../../src/iscsi/login/index.ts"
import { LoginRequest, LoginResponse } from "../../src/iscsi/pdu/index.ts"
import { forEachSeed } from "../seed.ts"
import { boundedMemory } from "./memory.ts"
import { Pair, PORTAL, VICTIM } from "./pair.ts"

const MACHINE_SEEDS = 5000
const CONNECTION_SEEDS = 60
const ATTACKERS = 12

const KEYS = [
  ..."AuthMethod CHAP_A CHAP_I CHAP_C CHAP_N CHAP_R HeaderDigest DataDigest MaxConnections SendTargets".split(
    " ",
  ),
  ..."TargetName InitiatorName TargetAlias InitiatorAlias TargetAddress TargetPortalGroupTag InitialR2T".split(
    " ",
  ),
  ..."ImmediateData MaxRecvDataSegmentLength MaxBurstLength FirstBurstLength DefaultTime2Wait".split(" "),
  ..."DefaultTime2Retain MaxOutstandingR2T DataPDUInOrder DataSequenceInOrder ErrorRecoveryLevel".split(" "),
  ..."SessionType RDMAExtensions TaskReporting iSCSIProtocolLevel X-org.example.key OFMarker IFMarkInt".split(
    " ",
  ),
]
const VALUES = [
  ...["", "None", "CHAP", "CHAP,None", "None,CHAP", "Yes", "No", "0", "1", "512", "-1", "65536", "16777215"],
  ...["16777216", "4294967296", "0x", "0xfff", "0b", "0bAAAA", "NotUnderstood", "Reject", "Irrelevant", ","],
  ...["5", "7", "5,6,7,8", "CRC32C", "CRC32C,None", "Normal", "Discovery", "a".repeat(256), "9".repeat(400)],
  ...[`0x${"ab".repeat(16)}`, `0x${"00".repeat(1025)}`, "1~2", VICTIM, "iqn.2026-01.org.example:x,i"],
]

class TextMutator {
  readonly #random: SeededRandom
  readonly #percent: number

  constructor(random: SeededRandom) {
    this.#random = random
    this.#percent = random.pick([5, 20, 60])
  }

  /** The PDU, or another. */
  next(pdu: LoginPdu): LoginPdu {
    const random = this.#random
    const header = pdu.header.slice()
    if (random.below(100) < this.#percent / 2) {
      // The flags and stages, now and then any bit; not the opcode, which is checked before.
      const at = random.chance(0.7) ? 1 : 1 + random.below(47)
      header[at]! ^= 1 << random.below(8)
    }
    if (random.below(100) >= this.#percent) return { header, data: pdu.data }
    return { header, data: this.#text(pdu.data) }
  }

  #text(data: Uint8Array): Uint8Array {
    const random = this.#random
    const pairs = Buffer.from(data).toString("latin1").split("\0").slice(0, -1)
    for (let i = random.pick([1, 1, 2, 5]); i > 0; i--) this.#change(pairs)
    const bytes = Buffer.from(pairs.map((pair) => `${pair}\0`).join(""), "latin1")
    if (random.chance(0.1) && bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
    if (random.chance(0.05)) return new Uint8Array(bytes.subarray(0, random.below(bytes.length + 1)))
    return new Uint8Array(bytes)
  }

  #change(pairs: string[]): void {
    const random = this.#random
    const at = random.below(pairs.length + 1)
    const pair = pairs[at] ?? "X=1"
    const key = pair.split("=")[0]!
    switch (random.below(8)) {
      case 0:
        return void pairs.splice(at, 1)
      case 1:
        return void pairs.splice(at, 0, pair)
      case 2:
      case 3:
        return void pairs.splice(at, 1, `${key}=${random.pick(VALUES)}`)
      case 4:
        return void pairs.splice(at, 0, `${random.pick(KEYS)}=${random.pick(VALUES)}`)
      case 5:
        return void pairs.splice(at, 0, random.pick(KEYS))
      case 6:
        for (let i = random.pick([3, 300]); i > 0; i--)
          pairs.push(`${random.pick(KEYS)}=${random.pick(VALUES)}`)
        return
      default:
        return void pairs.splice(at, 1, `${random.pick(KEYS)}=${pair.slice(key.length + 1)}`)
    }
  }
}

const view = ({ header }: LoginPdu): DataView =>
  new DataView(header.buffer, header.byteOffset, header.byteLength)
const secret = (text: string) => ({ name: "somebody", secret: new ChapSecret(text) })

interface Ends {
  readonly initiator: "accepted" | "redirect" | "refused" | "none"
  readonly target: "accepted" | "refused" | "none"
}

/** A login with changes: neither machine may throw, go on for ever, or agree on what can't be. */
async function attackMachines(seed: number): Promise<Ends> {
  const random = new SeededRandom(seed)
  const mutator = new TextMutator(random)
  const side = random.pick(["requests", "responses", "both"] as const)
  const demands = random.chance(0.5)
  // Half of those who are asked for a proof don't know the secret: nobody may let them in, whatever is changed.
  const impostor = demands && random.chance(0.5)
  const mutual = demands && random.chance(0.5)
  /** The same of targets that are to prove who they are. */
  const pretender = mutual && random.chance(0.5)
  const target = new TargetLogin(
    {
      findTarget: () => ({
        kind: "granted",
        keys: targetKeyPreferences,
        portalGroupTag: 1,
        ...(demands && {
          auth: {
            users: [secret("rightsecret12")],
            ...(mutual && { outgoing: secret(pretender ? "falsesecret12" : "targetsecret12") }),
          },
        }),
      }),
      admit: () => ({ kind: "admitted", tsih: 7 }),
    },
    random,
  )
  const own = secret(impostor ? "wrongsecret12" : "rightsecret12")
  const initiator = new InitiatorLogin(
    {
      initiatorName: "iqn.2026-01.org.example:initiator",
      sessionType: "Normal",
      targetName: VICTIM,
      isid: 0x800001020304,
      keys: initiatorKeyPreferences,
      ...(demands && { chap: { user: own, ...(mutual && { target: secret("targetsecret12") }) } }),
    },
    random,
  )
  const change = (pdu: LoginPdu, of: typeof side) =>
    side === of || side === "both" ? mutator.next(pdu) : pdu
  const ends = await talk(
    target,
    initiator,
    (pdu) => change(pdu, "requests"),
    (pdu) => change(pdu, "responses"),
  )
  if (impostor) assert.notEqual(ends.target, "accepted", "an impostor was let in")
  if (pretender) assert.notEqual(ends.initiator, "accepted", "a target without the secret was believed")
  return ends
}

async function talk(
  target: TargetLogin,
  initiator: InitiatorLogin,
  changeRequest: (pdu: LoginPdu) => LoginPdu,
  changeResponse: (pdu: LoginPdu) => LoginPdu,
): Promise<Ends> {
  let request = initiator.start()
  for (let round = 0; round <= LOGIN_ROUNDS_MAX + 1; round++) {
    const asked = changeRequest(request)
    const step = await target.receive(new LoginRequest(view(asked), 0), asked.data)
    if (step.kind === "accepted") checkKeys(step.login.keys)
    const answered = changeResponse(step.response)
    const next = initiator.receive(new LoginResponse(view(answered), 0), answered.data)
    if (next.kind === "accepted") checkKeys(next.login.keys)
    const target_ = step.kind === "respond" ? "none" : step.kind
    if (next.kind !== "request") return { initiator: next.kind, target: target_ }
    // The initiator would go on; the target has ended its side and says so by closing.
    if (step.kind !== "respond") return { initiator: "none", target: step.kind }
    request = next.request
  }
  return assert.fail("the login doesn't come to an end")
}

function checkKeys(keys: NegotiatedKeys): void {
  const within = (value: number, low: number, high: number, what: string) =>
    assert.ok(value >= low && value <= high, `${what} is ${value}`)
  within(keys.maxSendDataSegmentLength, 512, 2 ** 24 - 1, "MaxRecvDataSegmentLength of the peer")
  within(keys.maxBurstLength, 512, 2 ** 24 - 1, "MaxBurstLength")
  within(keys.firstBurstLength, 512, keys.maxBurstLength, "FirstBurstLength")
  within(keys.maxOutstandingR2T, 1, 65535, "MaxOutstandingR2T")
  within(keys.maxConnections, 1, 65535, "MaxConnections")
  within(keys.errorRecoveryLevel, 0, 0, "ErrorRecoveryLevel")
  within(keys.defaultTime2Wait, 0, 3600, "DefaultTime2Wait")
}

test("changed logins end in a refusal or in keys that make sense, and impostors stay out", async (t) => {
  const counts = new Map<string, number>()
  await boundedMemory(() =>
    forEachSeed(import.meta.url, MACHINE_SEEDS, async (seed) => {
      const { initiator, target } = await attackMachines(seed)
      const end = `initiator ${initiator}, target ${target}`
      counts.set(end, (counts.get(end) ?? 0) + 1)
    }),
  )
  t.diagnostic([...counts].map(([end, count]) => `${end}: ${count}`).join("; "))
})

/** Connects and sends what a login is made of, or what it isn't, whole or byte by byte. */
async function attackPortal(pair: Pair): Promise<void> {
  const { random, clock, network } = pair
  await sleep(clock, random.below(1000), "attacker's entrance")
  const stream = await network.connect(PORTAL)
  let closed = false
  stream.start({
    buffer: () => new Uint8Array(4096),
    received: () => {},
    ended: () => stream.end(),
    closed: () => {
      closed = true
    },
  })
  const mutator = new TextMutator(random)
  const text = `InitiatorName=iqn.2026-01.org.example:a\0TargetName=${VICTIM}\0SessionType=Normal\0`
  for (let i = random.below(8); i > 0 && !closed; i--) {
    const { header, data } = mutator.next({ header: loginHeader(random), data: Buffer.from(text) })
    new DataView(header.buffer).setUint32(4, random.chance(0.9) ? data.length : random.uint32())
    const padded = new Uint8Array((data.length + 3) & ~3)
    padded.set(data)
    await send(pair, stream, random.chance(0.2) ? random.fill(new Uint8Array(100)) : header, () => closed)
    await send(pair, stream, padded, () => closed)
  }
  // It is thrown out in time, and its place is free again.
  for (let ms = 0; ms < 20_000 && !closed; ms += 100) await sleep(clock, 100, "attacker's wait")
  assert.ok(closed, "a connection without a login outlives the deadline")
}

function loginHeader(random: SeededRandom): Uint8Array {
  const header = new Uint8Array(48)
  const login = new LoginRequest(new DataView(header.buffer), 0)
  login.opcode = LoginRequest.opcode
  login.immediate = true
  login.transit = random.chance(0.5)
  login.currentStage = random.below(2)
  login.nextStage = random.pick([1, 3])
  login.isid = 0x800000000000 + random.below(4)
  login.cmdSn = 1
  return header
}

async function send(
  { random, clock }: Pair,
  stream: ByteStream,
  bytes: Uint8Array,
  over: () => boolean,
): Promise<void> {
  if (random.chance(0.8)) return void stream.write([bytes])
  for (const byte of bytes) {
    if (over()) return
    stream.write([Uint8Array.of(byte)])
    await sleep(clock, random.below(60), "byte by byte")
  }
}

test("whoever doesn't log in is thrown out in time, and nobody else notices", () =>
  boundedMemory(() =>
    forEachSeed(import.meta.url, CONNECTION_SEEDS, async (seed) => {
      const pair = new Pair(seed)
      await pair.start()
      const attackers = Array.from({ length: ATTACKERS }, () => attackPortal(pair))
      // Who happens to log in stays: it is given up when it doesn't answer pings.
      await pair.run([pair.beHealthy(20), ...attackers])
    }),
  ))
