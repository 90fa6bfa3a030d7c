/**
 * The Linux kernel's iSER initiator (ib_iser over siw), in a virtual machine, uses our target as its users would; and
 * what goes over the wire meanwhile is RDMA.
 */
import assert from "node:assert/strict"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { setTimeout as sleep } from "node:timers/promises"
import { readConversations } from "./capture.ts"
import { succeed } from "./command.ts"
import { followCommands, isIwarp, type IserConversation, readIser } from "./iser-wire.ts"
import { MiB } from "./serve.ts"
import { KernelInitiator } from "./vm-kernel.ts"
import {
  chapScenario,
  EXT4,
  fileSystemScenario,
  killedTargetScenario,
  logoutScenario,
  pulledCableScenario,
  slowDiskScenario,
} from "./vm-kernel-scenarios.ts"
import { type KernelTarget, standIn } from "./vm-target.ts"

const kernel = new KernelInitiator("iser")
before(() => kernel.start())
after(() => kernel.stop())

const options = {
  skip: standIn && "tgtd's iSER needs an RDMA device of the kernel's, which the host has none of",
}

describe("CHAP over iSER", options, () => chapScenario(kernel))

describe("a disk over iSER", options, () => {
  const iqn = "iqn.2026-01.org.example:iser"
  let target: KernelTarget
  let node = ""

  before(async () => {
    target = await kernel.startTarget({ iqn, images: [kernel.scratch.image("iser.img", 256 * MiB)] })
  })
  after(() => target.stop())

  test("discovery, over iSER as well, finds the target", async () => {
    assert.match(await kernel.discover(target.portal), new RegExp(`^${target.portal},1 ${iqn}$`))
  })

  test("login: the session is iSER's", async () => {
    await kernel.login(iqn)
    const session = await kernel.guest.sh("iscsiadm -m session -P2")
    assert.match(session, /Iface Transport: iser/)
    assert.match(session, /iSCSI Session State: LOGGED_IN/)
    node = await kernel.disk(iqn, target.firstLun)
  })

  test("ext4: make, mount, write, sync, read again, check", async () => {
    await fileSystemScenario(kernel, EXT4, node)
    await kernel.guest.sh("umount /mnt/ext4")
  })

  for (const [name, load] of [
    ["large and sequential", "--rw=write --bs=1M --size=48M --iodepth=4"],
    ["small and random", "--rw=randwrite --bs=4k --size=8M --iodepth=16"],
    [
      "of odd sizes, reads and writes mixed",
      "--rw=randrw --bsrange=512-300k --blockalign=512 --size=24M --iodepth=8",
    ],
  ] as const) {
    test(`fio verifies what it wrote: ${name}`, async () => {
      const job = `fio --name=job --filename=${node} --ioengine=libaio --direct=1 --randseed=11 --offset=64M ${load}`
      await kernel.guest.sh(`${job} --verify=crc32c --verify_fatal=1 --do_verify=1`, { deadlineMs: 180_000 })
    })
  }

  test("a killed target: the session recovers and every flushed byte is there", async () => {
    node = await killedTargetScenario(kernel, target, iqn, node)
  })

  test("a pulled cable: the session recovers and every flushed byte is there", () =>
    pulledCableScenario(kernel, node))

  test("logout", () => logoutScenario(kernel, iqn))
})

describe("a slow disk over iSER", options, () => slowDiskScenario(kernel))

const Opcode = { scsiCommand: 0x01, dataOut: 0x05, scsiResponse: 0x21, dataIn: 0x25, r2t: 0x31 } as const
const NO_TAG = 0xffff_ffff

for (const { name, login, unsolicited } of [
  { name: "all but immediate data fetched", login: { InitialR2T: true }, unsolicited: false },
  {
    name: "with unsolicited data",
    login: { InitialR2T: false, FirstBurstLength: 65_536 },
    unsolicited: true,
  },
]) {
  describe(`what goes over the wire, ${name}`, options, () => wireScenario(login, unsolicited))
}

/** Records a session of a target that negotiates `login`; `unsolicited`: whether that allows unsolicited Data-Out PDUs. */
function wireScenario(login: Readonly<Record<string, unknown>>, unsolicited: boolean): void {
  const iqn = "iqn.2026-01.org.example:wire"
  const conversations: IserConversation[] = []
  let others = 0
  let file = ""

  before(async () => {
    const target = await kernel.startTarget({
      iqn,
      images: [kernel.scratch.image("wire.img", 64 * MiB)],
      login,
    })
    file = kernel.scratch.path("wire.pcap")
    const stop = await record(file)
    await kernel.discover(target.portal)
    await kernel.login(iqn)
    const node = await kernel.disk(iqn, target.firstLun)
    await everySize(node)
    await kernel.logout(iqn)
    await target.stop()
    await stop()
    for (const conversation of readConversations(readFileSync(file))) {
      assert.equal(conversation.gaps, 0, `the capture lacks bytes of ${conversation.name}`)
      if (isIwarp(conversation)) conversations.push(readIser(conversation))
      else others++
    }
  })

  /** Captures the test network until told to stop. */
  async function record(path: string): Promise<() => Promise<void>> {
    const args = ["-q", "-P", "-i", "br0", "-B", "64", "-w", path, "-f", "tcp port 3260"]
    const dumpcap = kernel.rig.network.spawn("dumpcap", args)
    const said = await once(dumpcap.stderr ?? dumpcap, "data")
    assert.match(String(said[0]), /Capturing/)
    return async () => {
      await sleep(1000) // the last packets are on their way through its buffers
      const ended = once(dumpcap, "exit")
      dumpcap.kill("SIGINT")
      await ended
    }
  }

  /** Writes and reads back 512 bytes to 4 MiB, within and beyond what is sent unsolicited. */
  async function everySize(node: string): Promise<void> {
    for (const bytes of [512, 4096, 8192, 65_536, 262_144, 262_656, MiB, 4 * MiB]) {
      await kernel.guest.sh(
        `head -c ${bytes} /dev/urandom > /tmp/x && dd if=/tmp/x of=${node} bs=${bytes} count=1 seek=1 oflag=direct ` +
          `status=none && dd if=${node} of=/tmp/y bs=${bytes} count=1 skip=1 iflag=direct status=none && cmp /tmp/x /tmp/y`,
      )
    }
  }

  const pdus = (from: "initiator" | "target") =>
    conversations.flatMap(({ messages }) =>
      messages.filter((m) => m.from === from).flatMap((m) => m.pdu ?? []),
    )

  test("discovery and session are MPA from the first byte, with CRCs, and both say what iSER wants to know", () => {
    assert.equal(others, 0)
    assert.equal(conversations.length, 2)
    for (const { request, reply } of conversations) {
      assert.equal(request.key, "MPA ID Req Frame")
      assert.equal(reply.key, "MPA ID Rep Frame")
      assert.ok(reply.crc && !reply.markers && !reply.reject)
      assert.equal(reply.revision, request.revision)
      assert.equal(reply.privateData.length, 8) // RFC 6581's four bytes, then iSER's flags
    }
  })

  test("no Data-In, no R2T, no solicited Data-Out", () => {
    const [sent, answered] = [pdus("initiator"), pdus("target")]
    assert.ok(sent.filter(({ opcode }) => opcode === Opcode.scsiCommand).length > 30)
    const opcodes = new Set(answered.map(({ opcode }) => opcode))
    assert.ok(opcodes.has(Opcode.scsiResponse))
    assert.ok(!opcodes.has(Opcode.dataIn) && !opcodes.has(Opcode.r2t), [...opcodes].join(" "))
    const dataOut = sent.filter(({ opcode }) => opcode === Opcode.dataOut)
    assert.equal(dataOut.length > 0, unsolicited)
    for (const { header } of dataOut) assert.equal(header.readUInt32BE(20), NO_TAG)
  })

  test("the target moves the data: RDMA Write for reads, RDMA Read for writes, and the initiator only answers", () => {
    const kinds = (from: string) =>
      new Set(
        conversations.flatMap(({ messages }) => messages.filter((m) => m.from === from).map((m) => m.kind)),
      )
    assert.deepEqual([...kinds("target")].sort(), ["Read Request", "Send", "Write"])
    assert.deepEqual([...kinds("initiator")].sort(), ["Read Response", "Send"])
    const bytes = (wanted: string) =>
      conversations
        .flatMap(({ messages }) => messages.filter(({ kind }) => kind === wanted))
        .reduce((sum, message) => sum + message.bytes, 0)
    assert.ok(bytes("Write") > 4 * MiB)
    assert.ok(bytes("Read Request") > 4 * MiB)
    assert.equal(bytes("Read Response"), bytes("Read Request"))
  })

  test("every command moves exactly what it should, through its own buffers, which its response takes back", () => {
    for (const conversation of conversations) {
      const { commands, strayBytes } = followCommands(conversation)
      assert.equal(strayBytes, 0)
      for (const command of commands) {
        const told = `command ${command.cdb.toString("hex")}`
        const moved = command.expectedBytes + Math.min(command.residualBytes, 0)
        assert.ok(command.status !== undefined, `${told} was never answered`)
        if (command.read) assert.equal(command.writtenBytes, moved, told)
        if (command.write) assert.equal(command.fetchedBytes + command.unsolicitedBytes, moved, told)
        assert.equal(command.invalidated, command.stags[0], told)
      }
    }
  })

  test("tshark reads it as MPA, DDP and RDMAP, every CRC good", async () => {
    const text = await succeed("tshark", "-r", file, "-V", "-Y", "iwarp_mpa")
    const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0
    const fpdus = conversations.reduce(
      (sum, { fpdus }) => sum + fpdus.initiator.count + fpdus.target.count,
      0,
    )
    assert.equal(count(/CRC check: 0x[0-9a-f]+ \(Good CRC32\)/g), fpdus)
    assert.equal(count(/CRC check: 0x[0-9a-f]+ \(Bad/g), 0)
  })
}
