import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  PERSISTENT_REGISTRATIONS_MAX,
  PERSISTENT_RESERVE_LIST_BYTES_MAX,
} from "../../../../../src/base/limits.ts"
import * as cdb from "../../../../../src/scsi/cdb/index.ts"
import { Nexus } from "../../../../../src/scsi/sam/nexus.ts"
import { ScsiTarget } from "../../../../../src/scsi/sam/scsi-target.ts"
import { encodeTransportId } from "../../../../../src/scsi/spc/persistent-reserve/transport-id.ts"
import { PersistentReserveIn, PersistentReserveOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { PersistentType } from "../../../../../src/scsi/spec/persistent-type.ts"
import { Asc } from "../../../../../src/scsi/spec/sense.ts"
import { good, TestTask } from "../../../../suites/scsi-task.ts"
import { Cluster, nexusOf, outcome, portName } from "./cluster.ts"

const { register, registerAndIgnoreExistingKey, registerAndMove, reserve, release } = PersistentReserveOut
const { exclusiveAccess, writeExclusiveRegistrantsOnly, exclusiveAccessAllRegistrants } = PersistentType

const INVALID_LIST = "5/2600"
const LIST_LENGTH = "5/1a00"

describe("REGISTER", () => {
  test("registers, changes and removes the key of the nexus that knows it (table 67)", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    const b = cluster.host("b")
    assert.equal(await cluster.out(a, register, { key: 7n, actionKey: 1n }), "conflict")
    assert.equal(await cluster.out(a, register, { actionKey: 1n }), "good")
    assert.equal(await cluster.out(a, register, { actionKey: 2n }), "conflict")
    assert.equal(await cluster.out(a, register, { key: 2n, actionKey: 3n }), "conflict")
    assert.deepEqual(cluster.readKeys(b), [1n])
    assert.equal(await cluster.out(b, register, { actionKey: 1n }), "good")
    assert.equal(await cluster.out(a, register, { key: 1n, actionKey: 0xffff_ffff_ffff_ffffn }), "good")
    assert.deepEqual(cluster.readKeys(b), [0xffff_ffff_ffff_ffffn, 1n])
    assert.equal(await cluster.out(a, register, { key: 0xffff_ffff_ffff_ffffn }), "good")
    assert.deepEqual(cluster.readKeys(b), [1n])
    assert.equal(cluster.generation(b), 4)
    assert.deepEqual([cluster.attentions(a), cluster.attentions(b)], [[], []])
  })

  test("no key for nobody: nothing happens", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    assert.equal(await cluster.out(a, register, {}), "good")
    assert.equal(await cluster.out(a, registerAndIgnoreExistingKey, { key: 3n }), "good")
    assert.equal(cluster.generation(a), 0)
  })

  test("IGNORE EXISTING KEY doesn't ask for it (table 68)", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    assert.equal(await cluster.out(a, registerAndIgnoreExistingKey, { key: 9n, actionKey: 1n }), "good")
    assert.equal(await cluster.out(a, registerAndIgnoreExistingKey, { key: 9n, actionKey: 2n }), "good")
    assert.deepEqual(cluster.readKeys(a), [2n])
    assert.equal(await cluster.out(a, registerAndIgnoreExistingKey, { key: 9n }), "good")
    assert.deepEqual(cluster.readKeys(a), [])
    assert.equal(cluster.generation(a), 3)
  })

  test("the holder may change its key: the reservation is told with the new one", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    await cluster.out(a, register, { actionKey: 1n })
    await cluster.out(a, reserve, { key: 1n, type: exclusiveAccess })
    assert.equal(await cluster.out(a, registerAndIgnoreExistingKey, { actionKey: 2n }), "good")
    assert.deepEqual(cluster.readReservation(a), { key: 2n, type: exclusiveAccess })
    assert.equal(cluster.access(a), "rw")
  })

  test("who unregisters lets go of its reservation; registrants are told if it was theirs", async () => {
    for (const [type, told] of [
      [exclusiveAccess, []],
      [writeExclusiveRegistrantsOnly, [Asc.reservationsReleased]],
    ] as const) {
      const cluster = new Cluster()
      const [a, b, c] = [cluster.host("a"), cluster.host("b"), cluster.host("c")]
      await cluster.out(a, register, { actionKey: 1n })
      await cluster.out(b, register, { actionKey: 2n })
      await cluster.out(a, reserve, { key: 1n, type })
      assert.equal(await cluster.out(a, register, { key: 1n }), "good")
      assert.equal(cluster.readReservation(a), undefined)
      assert.deepEqual(
        [a, b, c].map((nexus) => cluster.attentions(nexus)),
        [[], told, []],
      )
      assert.equal(cluster.access(c), "rw")
    }
  })

  test("a reservation of all registrants goes with the last of them", async () => {
    const cluster = new Cluster()
    const [a, b] = [cluster.host("a"), cluster.host("b")]
    await cluster.out(a, register, { actionKey: 1n })
    await cluster.out(b, register, { actionKey: 2n })
    await cluster.out(a, reserve, { key: 1n, type: exclusiveAccessAllRegistrants })
    await cluster.out(a, register, { key: 1n })
    assert.deepEqual(cluster.readReservation(b), { key: 0n, type: exclusiveAccessAllRegistrants })
    assert.equal(cluster.access(a), "")
    await cluster.out(b, register, { key: 2n })
    assert.equal(cluster.readReservation(b), undefined)
    assert.deepEqual(cluster.attentions(a), [])
  })

  test("a registration is a nexus's by the names of its ports: it is there again after a login", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    const [b, c, d] = [cluster.host("b"), cluster.host("a", { isid: 2 }), cluster.host("a", { port: 2 })]
    await cluster.out(a, register, { actionKey: 1n })
    await cluster.out(a, reserve, { key: 1n, type: exclusiveAccess })
    await cluster.bench.target.detachNexus(a)
    assert.deepEqual(
      [b, c, d].map((nexus) => cluster.access(nexus)),
      ["", "", ""],
    )
    const again = nexusOf("a")
    cluster.bench.target.attachNexus(again)
    assert.deepEqual(cluster.attentions(again), [Asc.itNexusLoss])
    assert.equal(cluster.access(again), "rw")
    assert.equal(await cluster.out(again, release, { key: 1n, type: exclusiveAccess }), "good")
  })

  test("more than there is room for: INSUFFICIENT REGISTRATION RESOURCES, and none is made", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    const ids = (count: number): Uint8Array[] =>
      Array.from({ length: count }, (_, i) =>
        encodeTransportId(`eui.${i.toString(16).padStart(16, "0")},i,0x1`),
      )
    const half = PERSISTENT_REGISTRATIONS_MAX / 2
    assert.equal(await cluster.out(a, register, { actionKey: 1n, transportIds: ids(half - 1) }), "good")
    const b = cluster.host("b")
    const more = Array.from({ length: half }, (_, i) => encodeTransportId(portName("c", i)))
    assert.equal(await cluster.out(b, register, { actionKey: 1n, transportIds: more }), "5/5504")
    assert.equal(cluster.readKeys(b).length, half)
    assert.equal(await cluster.out(b, register, { actionKey: 1n, transportIds: more.slice(1) }), "good")
    assert.equal(cluster.readKeys(b).length, PERSISTENT_REGISTRATIONS_MAX)
    assert.equal(await cluster.out(cluster.host("d"), register, { actionKey: 1n }), "5/5504")
    assert.equal(await cluster.out(a, registerAndIgnoreExistingKey, { actionKey: 2n }), "good")
    const status = await cluster.run(a, cdb.persistentReserveIn(PersistentReserveIn.readFullStatus, 65535))
    const told = new DataView(good(status).buffer).getUint32(4)
    assert.ok(status.dataIn.length === 65535 && told > 65535, "its length is told, cut off or not")
  })
})

describe("SPEC_I_PT", () => {
  test("registers the initiator ports named as well", async () => {
    const cluster = new Cluster()
    const [a, b, c] = [cluster.host("a"), cluster.host("b"), cluster.host("c", { isid: 5 })]
    cluster.bench.target.attachNexus(nexusOf("c", { isid: 6, port: 2 })) // it has sent no command yet
    const transportIds = [
      encodeTransportId(portName("later", 3)),
      encodeTransportId("iqn.2026-01.org.example:c"), // all ports of it that are known
      encodeTransportId(portName("a")),
    ]
    assert.equal(await cluster.out(a, register, { actionKey: 1n, transportIds }), "good")
    assert.deepEqual(
      cluster.fullStatus(a).map(({ initiator, port, key }) => [initiator, port, key]),
      [
        [portName("a"), 1, 1n],
        [portName("later", 3), 1, 1n],
        [portName("c", 5), 1, 1n],
        [portName("c", 6), 1, 1n],
      ],
    )
    await cluster.out(a, reserve, { key: 1n, type: writeExclusiveRegistrantsOnly })
    assert.deepEqual(
      [b, c].map((nexus) => cluster.access(nexus)),
      ["r", "rw"],
    )
    assert.equal(cluster.access(cluster.host("later", { isid: 3 })), "rw")
    assert.equal(cluster.generation(a), 1)
  })

  test("none is registered if one is already, or is unknown, or is none", async () => {
    const cluster = new Cluster()
    const [a, b] = [cluster.host("a"), cluster.host("b")]
    await cluster.out(b, register, { actionKey: 2n })
    const good = encodeTransportId(portName("c"))
    for (const bad of [
      encodeTransportId(portName("b")),
      encodeTransportId("iqn.2026-01.org.example:nobody"),
      encodeTransportId("not an iSCSI name"),
      Uint8Array.from(good, (byte, i) => (i === 0 ? 0x46 : byte)), // SAS
      Uint8Array.from(good, (byte, i) => (i === 3 ? byte + 4 : byte)), // longer than the list
      good.subarray(0, 8),
    ]) {
      assert.equal(await cluster.out(a, register, { actionKey: 1n, transportIds: [good, bad] }), INVALID_LIST)
    }
    assert.deepEqual(cluster.readKeys(a), [2n])
    assert.equal(cluster.generation(a), 1)
  })

  test("is refused where it isn't wanted", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    const transportIds = [encodeTransportId(portName("b"))]
    assert.equal(
      await cluster.out(a, registerAndIgnoreExistingKey, { actionKey: 1n, transportIds }),
      INVALID_LIST,
    )
    await cluster.out(a, register, { actionKey: 1n })
    assert.equal(await cluster.out(a, register, { key: 1n, actionKey: 2n, transportIds }), INVALID_LIST)
    assert.equal(await cluster.out(a, register, { key: 1n, transportIds }), INVALID_LIST)
    for (const action of [reserve, release, PersistentReserveOut.clear, PersistentReserveOut.preempt]) {
      assert.equal(
        await cluster.out(a, action, { key: 1n, actionKey: 1n, transportIds, type: 1 }),
        INVALID_LIST,
      )
    }
    assert.deepEqual(cluster.readKeys(a), [1n])
  })
})

describe("ALL_TG_PT", () => {
  const options = { actionKey: 1n, allTargetPorts: true }

  test("does on each target port what the request would have done there", async () => {
    const cluster = new Cluster()
    const [a1, a2] = [cluster.host("a"), cluster.host("a", { port: 2 })]
    const b3 = cluster.host("b", { port: 3 })
    await cluster.out(a2, register, { actionKey: 5n })
    assert.equal(await cluster.out(a1, register, options), "good")
    const table = () => cluster.fullStatus(b3).map(({ port, key }) => [port, key])
    assert.deepEqual(table(), [
      [2, 5n],
      [1, 1n],
      [3, 1n],
    ]) // port 2 would have conflicted
    assert.equal(await cluster.out(a1, register, { key: 1n, ...options, actionKey: 2n }), "good")
    assert.deepEqual(table(), [
      [2, 5n],
      [1, 2n],
      [3, 2n],
    ])
    assert.equal(await cluster.out(a1, registerAndIgnoreExistingKey, { ...options, actionKey: 3n }), "good")
    assert.deepEqual(table(), [
      [2, 3n],
      [1, 3n],
      [3, 3n],
    ])
    assert.equal(await cluster.out(a1, register, { key: 3n, ...options, actionKey: 0n }), "good")
    assert.deepEqual(table(), [])
  })

  test("is for the ports of the target device the nexus belongs to; a unit may be part of several", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    const { clock, unit } = cluster.bench
    const other = new ScsiTarget({
      clock,
      targetPorts: () => [
        { targetPortName: "iqn.2026-01.org.example:other,t,0x0001", relativeTargetPort: 1 },
        { targetPortName: "iqn.2026-01.org.example:other,t,0x0009", relativeTargetPort: 9 },
      ],
    })
    other.addLogicalUnit(5, unit)
    const far = new Nexus({ ...a.identity, targetPortName: "iqn.2026-01.org.example:other,t,0x0001" })
    other.attachNexus(far)
    unit.takeUnitAttention(far)
    await cluster.out(a, register, { actionKey: 1n })
    const dataOut = cdb.persistentReserveList({ ...options, actionKey: 2n })
    const task = new TestTask(far, cdb.persistentReserveOut(register, 24), { dataOut, lun: 5 })
    other.commandReceived(task)
    assert.equal(outcome(await task.ended), "good")
    assert.deepEqual(
      cluster.fullStatus(a).map(({ port, key }) => [port, key]),
      [
        [1, 1n],
        [1, 2n],
        [9, 2n],
      ],
    )
    await cluster.out(a, reserve, { key: 1n, type: exclusiveAccess })
    const conflicting = new TestTask(far, cdb.modeSense6(0x3f, 255), { lun: 5 })
    other.commandReceived(conflicting)
    assert.equal(outcome(conflicting), "conflict")
  })

  test("goes together with SPEC_I_PT", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    cluster.host("b", { port: 2 })
    const transportIds = [encodeTransportId(portName("c"))]
    assert.equal(await cluster.out(a, register, { ...options, transportIds }), "good")
    assert.deepEqual(
      cluster.fullStatus(a).map(({ initiator, port }) => [initiator, port]),
      [
        [portName("a"), 1],
        [portName("a"), 2],
        [portName("c"), 1],
        [portName("c"), 2],
      ],
    )
  })
})

describe("REGISTER AND MOVE", () => {
  const move = async (
    cluster: Cluster,
    nexus: ReturnType<typeof nexusOf>,
    options: Partial<cdb.RegisterAndMoveList> = {},
  ): Promise<string> => {
    const dataOut = cdb.registerAndMoveList({
      key: 1n,
      actionKey: 9n,
      relativeTargetPort: 1,
      transportId: encodeTransportId(portName("b")),
      ...options,
    })
    const bytes = cdb.persistentReserveOut(registerAndMove, dataOut.length)
    return outcome(await cluster.run(nexus, bytes, { dataOut }))
  }
  const reserved = async (type: number = exclusiveAccess) => {
    const cluster = new Cluster()
    const [a, b] = [cluster.host("a"), cluster.host("b")]
    await cluster.out(a, register, { actionKey: 1n })
    await cluster.out(a, reserve, { key: 1n, type })
    return { cluster, a, b }
  }

  test("registers another nexus, which holds the reservation from then on", async () => {
    const { cluster, a, b } = await reserved()
    assert.equal(await move(cluster, a), "good")
    assert.deepEqual(cluster.readReservation(a), { key: 9n, type: exclusiveAccess })
    assert.deepEqual(
      [a, b].map((nexus) => cluster.access(nexus)),
      ["", "rw"],
    )
    assert.deepEqual(cluster.readKeys(a), [1n, 9n])
    assert.equal(cluster.generation(a), 2)
    assert.deepEqual([cluster.attentions(a), cluster.attentions(b)], [[], []])
    assert.equal(await move(cluster, a), "conflict", "it isn't the holder any more")
  })

  test("UNREG: the nexus is registered no longer; one that was gets another key", async () => {
    const { cluster, a, b } = await reserved()
    await cluster.out(b, register, { actionKey: 2n })
    assert.equal(await move(cluster, a, { unregister: true }), "good")
    assert.deepEqual(cluster.readKeys(a), [9n])
    assert.deepEqual(cluster.readReservation(a), { key: 9n, type: exclusiveAccess })
  })

  test("to an initiator that isn't there yet, by another port, by the name of a device with one port", async () => {
    const { cluster, a } = await reserved()
    const far = cluster.host("far", { port: 2 })
    assert.equal(
      await move(cluster, a, { transportId: encodeTransportId(portName("later")), relativeTargetPort: 2 }),
      "good",
    )
    assert.equal(cluster.access(cluster.host("later", { port: 1 })), "")
    const later = cluster.host("later", { port: 2 })
    assert.equal(cluster.access(later), "rw")
    const transportId = encodeTransportId(far.identity.initiatorName)
    assert.equal(await move(cluster, later, { key: 9n, transportId, relativeTargetPort: 2 }), "good")
    assert.equal(cluster.access(far), "rw")
  })

  test("refusals, in the order of table 70", async () => {
    const { cluster, a, b } = await reserved()
    assert.equal(await move(cluster, b), "conflict", "not registered")
    assert.equal(await move(cluster, a, { key: 2n }), "conflict", "another key")
    await cluster.out(b, register, { actionKey: 2n })
    assert.equal(await move(cluster, b, { key: 2n }), "conflict", "not the holder")
    assert.equal(await move(cluster, a, { actionKey: 0n }), INVALID_LIST)
    assert.equal(await move(cluster, a, { relativeTargetPort: 2 }), INVALID_LIST)
    assert.equal(
      await move(cluster, a, { transportId: encodeTransportId(portName("a")) }),
      INVALID_LIST,
      "itself",
    )
    assert.equal(await move(cluster, a, { throughPowerLoss: true }), INVALID_LIST, "there is no store")
    const unknown = encodeTransportId("iqn.2026-01.org.example:nobody")
    assert.equal(await move(cluster, a, { transportId: unknown }), INVALID_LIST)
    cluster.host("b", { isid: 2 })
    const several = encodeTransportId("iqn.2026-01.org.example:b")
    assert.equal(await move(cluster, a, { transportId: several }), INVALID_LIST, "which port of it?")
    assert.equal(await move(cluster, a, { transportId: new Uint8Array(20) }), INVALID_LIST, "too short")
    await cluster.out(a, release, { key: 1n, type: exclusiveAccess })
    assert.equal(await move(cluster, a), "5/2400", "there is nothing to move")
    await cluster.out(a, reserve, { key: 1n, type: exclusiveAccessAllRegistrants })
    assert.equal(await move(cluster, a), "conflict", "everybody's")
    assert.equal(cluster.generation(a), 2)
  })

  test("a list that ends early", async () => {
    const { cluster, a } = await reserved()
    const whole = cdb.registerAndMoveList({
      key: 1n,
      actionKey: 9n,
      relativeTargetPort: 1,
      transportId: encodeTransportId(portName("b")),
    })
    for (const bytes of [0, 23, 24, whole.length - 4]) {
      const dataOut = whole.subarray(0, bytes)
      const task = await cluster.run(a, cdb.persistentReserveOut(registerAndMove, bytes), { dataOut })
      assert.equal(outcome(task), LIST_LENGTH)
    }
  })
})

describe("the parameter list of PERSISTENT RESERVE OUT", () => {
  test("has 24 bytes without SPEC_I_PT, and no more than we take", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    for (const bytes of [0, 8, 23, 25, 28]) {
      const dataOut = new Uint8Array(bytes)
      const task = await cluster.run(a, cdb.persistentReserveOut(register, bytes), { dataOut })
      assert.equal(outcome(task), LIST_LENGTH)
    }
    const long = new Uint8Array(PERSISTENT_RESERVE_LIST_BYTES_MAX + 4)
    const task = await cluster.run(a, cdb.persistentReserveOut(register, long.length), { dataOut: long })
    assert.equal(outcome(task), LIST_LENGTH)
  })

  test("with SPEC_I_PT it has all it tells of", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    const whole = cdb.persistentReserveList({
      actionKey: 1n,
      transportIds: [encodeTransportId(portName("b"))],
    })
    for (const bytes of [24, 27, 28, whole.length - 4]) {
      const dataOut = whole.subarray(0, bytes)
      const task = await cluster.run(a, cdb.persistentReserveOut(register, bytes), { dataOut })
      assert.equal(outcome(task), LIST_LENGTH)
    }
  })
})
