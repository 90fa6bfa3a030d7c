/** Wireshark's dissector reads our iWARP as we meant it: MPA, DDP and RDMAP, every CRC good and nothing malformed. */
import assert from "node:assert/strict"
import { writeFileSync } from "node:fs"
import { after, describe, test } from "node:test"
import type { ByteStream, Network } from "../../src/base/byte-stream.ts"
import { SeededRandom } from "../../src/base/random.ts"
import { SimNetwork } from "../../src/base/sim-network.ts"
import { VirtualClock } from "../../src/base/virtual-clock.ts"
import { IwarpDevice } from "../../src/rdma/iwarp/index.ts"
import type { IwarpOptions } from "../../src/rdma/iwarp/index.ts"
import { SendOpcode } from "../../src/rdma/verbs/index.ts"
import { connectEnds, makeEnds, pattern } from "../suites/verbs-ends.ts"
import type { Ends, VerbsPair } from "../suites/verbs-ends.ts"
import { succeed } from "./command.ts"
import { Capture } from "./pcap.ts"
import { Scratch } from "./serve.ts"

/** A network whose every write is a TCP segment of a capture. */
class Tapped implements Network {
  readonly capture = new Capture()
  readonly #network: Network

  constructor(network: Network) {
    this.#network = network
  }

  #tap(from: "initiator" | "target", stream: ByteStream): ByteStream {
    const write = stream.write.bind(stream)
    stream.write = (pieces, sent) => {
      this.capture.add(from, Buffer.concat(pieces))
      return write(pieces, sent)
    }
    return stream
  }

  async connect(...args: Parameters<Network["connect"]>): Promise<ByteStream> {
    return this.#tap("initiator", await this.#network.connect(...args))
  }

  listen(at: { host: string; port: number }, accept: (stream: ByteStream) => void) {
    return this.#network.listen(at, (stream) => accept(this.#tap("target", stream)))
  }
}

/** Two ends, and what goes between them. */
async function record(options: IwarpOptions, body: (ends: Ends) => Promise<void>): Promise<Capture> {
  const clock = new VirtualClock()
  const network = new Tapped(new SimNetwork(clock, new SeededRandom(1)))
  const more = { clock, network, random: new SeededRandom(2), ...options }
  const pair: VerbsPair = {
    active: new IwarpDevice(more),
    passive: new IwarpDevice(more),
    host: "10.0.0.2",
    until: async (what, done) => assert.ok(await clock.advance(60_000, done), what),
    rest: async () => void (await clock.advance(200)),
    dispose: () => Promise.resolve(),
  }
  const ends = makeEnds(pair, { memoryBytes: 300_000 })
  await connectEnds(ends)
  await body(ends)
  await pair.rest()
  return network.capture
}

/** Every kind of message, short and long, and one that is refused. */
async function everything({ pair, active, passive }: Ends): Promise<void> {
  active.memory.set(pattern(100_000, 1))
  passive.memory.set(pattern(100_000, 2))
  for (let i = 0; i < 8; i++) passive.receive(i, 200_000, 20_000)
  const mr = passive.pd.registerMemory(new Uint8Array(100), 7)
  active.send(1, 0, 1)
  active.send(2, 0, 20_000)
  active.send(3, 0, 76, { solicited: true })
  active.post(4, SendOpcode.sendWithInvalidate, [active.at(0, 77)], { invalidateRkey: mr.rkey })
  active.post(5, SendOpcode.send, [])
  active.write(6, 0, 100_000, passive.mr, 100_000)
  active.write(7, 0, 3, passive.mr, 0)
  active.post(8, SendOpcode.rdmaWrite, [])
  active.read(9, 100_000, 100_000, passive.mr, 0)
  active.read(10, 100_000, 2, passive.mr, 0)
  active.post(11, SendOpcode.rdmaRead, [])
  await pair.until("all", () => active.sends.length === 11)
  passive.read(1, 0, 50_000, active.mr, 0)
  await pair.until("the passive side's", () => passive.sends.length === 1)
  active.read(12, 0, 10, { ...known(passive.mr), rkey: 1 }, 0)
  await pair.until("the refusal", () => active.disconnections.length === 1)
}

const known = ({
  rkey,
  addressHigh,
  addressLow,
}: {
  rkey: number
  addressHigh: number
  addressLow: number
}) => ({
  rkey,
  addressHigh,
  addressLow,
})

/** What its dissector says of revision 2, and of flag S, whose place RFC 5044 had reserved: of Linux's frames too. */
const beforeRfc6581 = [
  "Res field is NOT set to zero as required by RFC 5044",
  "Rev field is NOT set to one as required by RFC 5044",
]

/** Guesses at what Sends carry, and takes iSER's for it now and then: in captures of Linux as well. */
const WITHOUT_GUESSES = ["--disable-protocol", "rpcordma", "--disable-protocol", "smb_direct"]

describe("tshark reads iWARP", () => {
  const scratch = new Scratch()
  after(() => scratch.remove())

  const runs: readonly (readonly [title: string, options: IwarpOptions])[] = [
    ["with CRC, as segments go", { fpduBytes: "mss" }],
    ["with CRC, in long FPDUs", { fpduBytes: 60_000 }],
    ["without CRC", { crc: false, fpduBytes: "mss" }],
    ["of revision 1", { revision: 1, fpduBytes: "mss" }],
    ["without the peer-to-peer model", { peerToPeer: false, fpduBytes: "mss" }],
  ]
  for (const [title, options] of runs) {
    test(title, { timeout: 60_000 }, async () => {
      const path = scratch.path(`${title.replaceAll(/\W/g, "-")}.pcap`)
      writeFileSync(path, (await record(options, everything)).toBuffer())
      const fields = ["iwarp_rdma.opcode", "iwarp_rdma.inval_stag", "_ws.malformed", "_ws.expert.message"]
      const rows = (
        await succeed(
          "tshark",
          ...["-n", "-r", path, ...WITHOUT_GUESSES, "-T", "fields", "-E", "occurrence=a"],
          ...fields.flatMap((field) => ["-e", field]),
        )
      ).split("\n")
      const column = (index: number): string[] =>
        rows.flatMap((row) => (row.split("\t")[index] ?? "").split(",")).filter((cell) => cell !== "")
      assert.deepEqual(column(2), [], "malformed")
      const warnings = column(3).filter((text) => text.includes("field") || text.includes("alformed"))
      assert.deepEqual(
        warnings.filter((text) => !beforeRfc6581.includes(text)),
        [],
      )
      const opcodes = new Map<number, number>()
      for (const opcode of column(0)) opcodes.set(Number(opcode), (opcodes.get(Number(opcode)) ?? 0) + 1)
      // Writes, reads and their answers, sends of all four kinds but the two with both, and the Terminate.
      assert.deepEqual(
        [...opcodes.keys()].sort((one, other) => one - other),
        [0, 1, 2, 3, 4, 5, 7],
      )
      assert.equal(opcodes.get(1), 5)
      assert.equal(opcodes.get(7), 1)
      const text = await succeed(
        "tshark",
        "-n",
        "-r",
        path,
        ...WITHOUT_GUESSES,
        "-O",
        "iwarp_mpa,iwarp_ddp_rdmap",
      )
      const sums = [...text.matchAll(/CRC check: 0x[0-9a-f]+ \((.*)\)/g)].map(([, verdict]) => verdict)
      const all = [...opcodes.values()].reduce((sum, count) => sum + count, 0)
      if (options.crc !== false) {
        assert.equal(sums.length, all)
        assert.deepEqual(new Set(sums), new Set(["Good CRC32"]))
      }
      assert.match(text, /Layer: RDMA \(0x0\)/)
      assert.match(text, /Remote Protection Error/)
    })
  }
})
