import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import type { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import type { TargetPortGroupsOptions } from "../../../../src/scsi/sam/target-port-groups.ts"
import { type UnitRecords, VolatileRecords } from "../../../../src/scsi/sam/unit-records.ts"
import { TaskAttribute } from "../../../../src/scsi/sam/task.ts"
import { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good, TestTask, testNexusThrough } from "../../../suites/scsi-task.ts"

const { illegalRequest, notReady, unitAttention, hardwareError } = SenseKey
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

type Send = (
  bytes: Uint8Array,
  options?: { nexus?: Nexus; dataOut?: Uint8Array; lun?: number },
) => Promise<TestTask>

interface Bench {
  readonly target: ScsiTarget
  /** Through port 1, which is in group 1, and through port 2, in group 2. */
  readonly nexus: Nexus
  readonly other: Nexus
  readonly send: Send
}

const twoGroups: TargetPortGroupsOptions = {
  groups: [
    { id: 1, ports: [1], preferred: true },
    { id: 2, ports: [3, 2], state: "standby" },
  ],
}

/** A target with two disks, and nexuses without a unit attention. */
function makeBench(portGroups?: TargetPortGroupsOptions, records?: UnitRecords): Bench {
  const target = new ScsiTarget({ clock: new VirtualClock(), ...(portGroups && { portGroups }) })
  for (const lun of [0, 1]) {
    const identity = { serial: `disk ${lun}` }
    const options = { identity, ...(records && { records }) }
    target.addLogicalUnit(lun, new DiskUnit(new MemoryStore({ sizeBytes: 1 << 20 }), options))
  }
  const attach = (port: number): Nexus => {
    const nexus = testNexusThrough(port, `host${port}`)
    target.attachNexus(nexus)
    for (const unit of target.logicalUnits.values()) unit.takeUnitAttention(nexus)
    return nexus
  }
  const nexus = attach(1)
  const other = attach(2)
  const send: Send = (bytes, options = {}) => {
    const task = new TestTask(options.nexus ?? nexus, bytes, {
      lun: options.lun ?? 0,
      ...(options.dataOut && { dataOut: options.dataOut }),
    })
    target.commandReceived(task)
    return task.ended
  }
  return { target, nexus, other, send }
}

/** The parameter list of SET TARGET PORT GROUPS. */
const setting = (...changes: readonly (readonly [state: number, group: number])[]): Uint8Array =>
  Uint8Array.from([0, 0, 0, 0, ...changes.flatMap(([state, group]) => [state, 0, group >> 8, group & 0xff])])

const stpg = (send: Send, list: Uint8Array, nexus?: Nexus): Promise<TestTask> =>
  send(cdb.setTargetPortGroups(list.length), { dataOut: list, ...(nexus && { nexus }) })

type Column = "standby" | "unavailable" | "transitioning" | "offline"

const columns: Readonly<Record<Column, number>> = {
  standby: Asc.targetPortInStandbyState,
  unavailable: Asc.targetPortInUnavailableState,
  transitioning: Asc.asymmetricAccessStateTransition,
  offline: Asc.logicalUnitNotReadyOffline,
}

/**
 * Which command is carried out in which state, by SPC-4 §5.16.2.4.4 to §5.16.2.5: one row per kind of command, S for
 * standby, U for unavailable, T for transitioning.
 */
const table: readonly (readonly [name: string, bytes: Uint8Array, states: string, dataOut?: number])[] = [
  ["INQUIRY", cdb.inquiry(255), "SUT"],
  ["INQUIRY, VPD", cdb.inquiry(255, 0x83), "SUT"],
  ["REPORT LUNS", cdb.reportLuns(64), "SUT"],
  ["REQUEST SENSE", cdb.requestSense(18), "SUT"],
  ["REPORT TARGET PORT GROUPS", cdb.reportTargetPortGroups(64), "SUT"],
  ["SET TARGET PORT GROUPS", cdb.setTargetPortGroups(0), "SU"],
  ["MODE SENSE (6)", cdb.modeSense6(0x3f, 255), "S"],
  ["MODE SENSE (10)", cdb.modeSense10(0x3f, 255), "S"],
  ["MODE SELECT (6)", cdb.modeSelect6(0), "S"],
  ["MODE SELECT (10)", cdb.modeSelect10(0), "S"],
  ["LOG SENSE", cdb.logSense(0, 64), "S"],
  ["LOG SELECT", cdb.logSelect(0), "S"],
  ["SEND DIAGNOSTIC", cdb.selfTest(), "S"],
  ["PERSISTENT RESERVE IN", cdb.persistentReserveIn(0, 64), "S"],
  ["PERSISTENT RESERVE OUT", cdb.persistentReserveOut(6, 24), "S", 24],
  ["READ CAPACITY (10)", cdb.readCapacity10(), "S"],
  ["READ CAPACITY (16)", cdb.readCapacity16(), "S"],
  ["REPORT IDENTIFYING INFORMATION", Uint8Array.of(0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0), "S"],
  ["REPORT SUPPORTED OPERATION CODES", cdb.reportSupportedOperationCodes(4096), "S"],
  ["REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", cdb.reportSupportedTaskManagementFunctions(16), "S"],
  ["TEST UNIT READY", cdb.testUnitReady(), ""],
  ["READ (10)", cdb.read10(0, 1), ""],
  ["WRITE (10)", cdb.write10(0, 1), "", 512],
  ["READ (16)", cdb.read16(0, 1), ""],
  ["WRITE (16)", cdb.write16(0, 1), "", 512],
  ["VERIFY (10)", cdb.verify10(0, 1), ""],
  ["COMPARE AND WRITE", cdb.compareAndWrite(0, 1), "", 1024],
  ["UNMAP", cdb.unmap(0), ""],
  ["WRITE SAME (16)", cdb.writeSame16(0, 1), "", 512],
  ["SYNCHRONIZE CACHE (10)", cdb.synchronizeCache10(), ""],
  ["PRE-FETCH (10)", cdb.preFetch10(0, 1), ""],
  ["GET LBA STATUS", cdb.getLbaStatus(0, 64), ""],
  ["RESERVE (6)", cdb.reserve6(), ""],
  ["RELEASE (6)", cdb.release6(), ""],
  ["PREVENT ALLOW MEDIUM REMOVAL", cdb.preventAllowMediumRemoval(false), ""],
  ["START STOP UNIT", Uint8Array.of(0x1b, 0, 0, 0, 1, 0), ""],
]

describe("commands through a port in each state", () => {
  for (const [column, asc] of Object.entries(columns) as [Column, number][]) {
    test(`${column}: those it supports, and the sense of the others`, async () => {
      const bench = makeBench({ ...twoGroups, explicit: true }, new VolatileRecords())
      const { target, nexus, send } = bench
      let finish = (): void => {}
      if (column === "transitioning") {
        void target.portGroups.transition(1, "active/optimized", () => new Promise((done) => (finish = done)))
      } else {
        target.portGroups.set(1, column)
      }
      for (const unit of target.logicalUnits.values()) unit.takeUnitAttention(nexus)
      for (const [name, bytes, states, dataOutBytes = 0] of table) {
        const task = await send(bytes, { dataOut: new Uint8Array(dataOutBytes) })
        const supported = column !== "offline" && states.includes(column[0]!.toUpperCase())
        if (supported) assert.equal(task.status, 0, `${name} is carried out`)
        else {
          assert.equal(task.status, 2, `${name} is refused`)
          checkCondition(task, notReady, asc)
        }
      }
      finish()
    })
  }

  for (const state of ["active/optimized", "active/non-optimized"] as const) {
    test(`${state}: all`, async () => {
      const { target, nexus, send } = makeBench({ ...twoGroups, explicit: true }, new VolatileRecords())
      target.portGroups.set(1, "standby")
      target.portGroups.set(1, state)
      target.logicalUnits.get(0)!.takeUnitAttention(nexus)
      for (const [name, bytes, , dataOutBytes = 0] of table) {
        const task = await send(bytes, { dataOut: new Uint8Array(dataOutBytes) })
        assert.ok(task.status === 0 || task.status === 4, `${name}: status ${task.status}`)
      }
    })
  }

  test("a command nobody knows stays unknown, and a pending unit attention comes first", async () => {
    const { target, nexus, send } = makeBench(twoGroups)
    target.portGroups.set(1, "unavailable")
    checkCondition(await send(cdb.testUnitReady()), unitAttention, Asc.asymmetricAccessStateChanged)
    checkCondition(await send(cdb.testUnitReady()), notReady, Asc.targetPortInUnavailableState)
    checkCondition(await send(Uint8Array.of(0xff)), illegalRequest, Asc.invalidCommandOperationCode)
    assert.equal(nexus.restriction?.state, "unavailable")
  })

  test("where there is no unit, and at the well-known one, states mean nothing", async () => {
    const { target, send } = makeBench(twoGroups)
    target.portGroups.set(1, "unavailable")
    checkCondition(await send(cdb.testUnitReady(), { lun: 9 }), illegalRequest, Asc.logicalUnitNotSupported)
    good(await send(cdb.testUnitReady(), { lun: 0xc101 }))
    good(await send(cdb.reportLuns(64), { lun: 0xc101 }))
  })

  test("a command that waited for its turn is asked when that has come", async () => {
    const { target, nexus } = makeBench({ ...twoGroups, explicit: true })
    const list = setting([0x0, 1])
    // Its data comes later, and what is ORDERED waits for it.
    const first = new TestTask(nexus, cdb.setTargetPortGroups(list.length), {
      dataOut: list,
      buffers: "held",
    })
    target.commandReceived(first)
    const waiting = new TestTask(nexus, cdb.read10(0, 1), { attribute: TaskAttribute.ordered })
    target.commandReceived(waiting)
    assert.equal(waiting.state, "queued")
    target.portGroups.set(1, "standby")
    target.logicalUnits.get(0)!.takeUnitAttention(nexus)
    first.abort()
    checkCondition(await waiting.ended, notReady, Asc.targetPortInStandbyState)
  })

  test("it comes before a reservation conflict", async () => {
    const { target, other, send } = makeBench(twoGroups)
    good(await send(cdb.reserve6()))
    checkCondition(await send(cdb.read10(0, 1), { nexus: other }), notReady, Asc.targetPortInStandbyState)
    target.portGroups.set(2, "active/optimized")
    target.logicalUnits.get(0)!.takeUnitAttention(other)
    assert.equal((await send(cdb.read10(0, 1), { nexus: other })).status, 0x18)
  })
})

describe("INQUIRY and REQUEST SENSE", () => {
  test("TPGS: implicit, and explicit where it is allowed", async () => {
    const tpgs = async (options?: TargetPortGroupsOptions): Promise<number> =>
      (good(await makeBench(options).send(cdb.inquiry(96)))[5]! >> 4) & 0x03
    assert.equal(await tpgs(), 1)
    assert.equal(await tpgs(twoGroups), 1)
    assert.equal(await tpgs({ ...twoGroups, explicit: true }), 3)
  })

  test("MULTIP: there are several ports", async () => {
    const multip = async (options: TargetPortGroupsOptions): Promise<number> =>
      good(await makeBench(options).send(cdb.inquiry(96)))[6]!
    assert.equal(await multip(twoGroups), 0x10)
    assert.equal(await multip({ groups: [{ id: 1, ports: [1] }] }), 0)
  })

  test("through an unavailable port the unit isn't connected (PERIPHERAL QUALIFIER 001b)", async () => {
    const { target, send } = makeBench(twoGroups)
    const first = async (): Promise<number[]> => [
      good(await send(cdb.inquiry(96)))[0]!,
      good(await send(cdb.inquiry(96, 0x80)))[0]!,
    ]
    assert.deepEqual(await first(), [0x00, 0x00])
    target.portGroups.set(1, "unavailable")
    assert.deepEqual(await first(), [0x20, 0x20])
    target.portGroups.set(1, "standby")
    assert.deepEqual(await first(), [0x00, 0x00])
  })

  test("REQUEST SENSE says why the unit can't be reached, and leaves the unit attention", async () => {
    const { target, send } = makeBench(twoGroups)
    const keyAndCode = async (): Promise<string> => {
      const data = good(await send(cdb.requestSense(18)))
      return hex(Uint8Array.of(data[2]!, data[12]!, data[13]!))
    }
    assert.equal(await keyAndCode(), "000000")
    target.portGroups.set(1, "standby")
    assert.equal(await keyAndCode(), "02040b")
    target.portGroups.set(1, "unavailable")
    assert.equal(await keyAndCode(), "052500")
    target.portGroups.set(1, "active/optimized")
    assert.equal(await keyAndCode(), "062a06")
    assert.equal(await keyAndCode(), "000000")
  })

  test("page 83h: relative target port and target port group of the port asked through", async () => {
    const { send, nexus, other } = makeBench(twoGroups)
    const designators = async (through: Nexus): Promise<string[]> => {
      const data = good(await send(cdb.inquiry(1024, 0x83), { nexus: through }))
      const found: string[] = []
      for (let at = 4; at < data.length; at += 4 + data[at + 3]!) {
        const type = data[at + 1]! & 0x0f
        if (type >= 4 && type <= 6) found.push(hex(data.subarray(at, at + 4 + data[at + 3]!)))
      }
      return found
    }
    assert.deepEqual(await designators(nexus), ["0106000400000001", "5194000400000001", "5195000400000001"])
    assert.deepEqual(await designators(other), ["0106000400000001", "5194000400000002", "5195000400000002"])
  })
})

describe("REPORT TARGET PORT GROUPS", () => {
  /** What port 1 is told, once it has heard of the change. */
  const report = async ({ target, nexus, send }: Bench): Promise<Uint8Array> => {
    target.logicalUnits.get(0)!.takeUnitAttention(nexus)
    return good(await send(cdb.reportTargetPortGroups(255)))
  }

  test("one group of all ports where nobody has divided them", async () => {
    const { send } = makeBench()
    const data = good(await send(cdb.reportTargetPortGroups(255)))
    assert.equal(hex(data), "00000010" + "00cf0001" + "00000002" + "00000001" + "00000002")
  })

  test("each group: PREF, state, what is supported, why, ports", async () => {
    const bench = makeBench(twoGroups)
    const one = "80cf0001" + "00000001" + "00000001"
    const two = "02cf0002" + "00000002" + "00000002" + "00000003"
    assert.equal(hex(await report(bench)), `0000001c${one}${two}`)
    bench.target.portGroups.set(2, "active/non-optimized")
    const changed = "01cf0002" + "00020002" + "00000002" + "00000003"
    assert.equal(hex(await report(bench)), `0000001c${one}${changed}`)
  })

  test("the extended header tells the transition time", async () => {
    const { send } = makeBench({ ...twoGroups, transitionSeconds: 45 })
    const data = good(await send(cdb.reportTargetPortGroups(255, true)))
    assert.equal(hex(data.subarray(0, 12)), "00000020" + "102d0000" + "80cf0001")
    const without = good(await makeBench(twoGroups).send(cdb.reportTargetPortGroups(255, true)))
    assert.equal(without[5], 0)
  })

  test("a reserved format is refused, as are bits that mean nothing", async () => {
    const { send } = makeBench(twoGroups)
    for (const format of [0x40, 0xe0]) {
      const task = await send(Uint8Array.of(0xa3, format | 0x0a, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0))
      const sense = checkCondition(task, illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 1, bit: 7 })
    }
  })

  test("cut to the allocation length, without altering RETURN DATA LENGTH", async () => {
    const { send } = makeBench(twoGroups)
    for (const bytes of [0, 4, 12, 31, 32, 64]) {
      const data = good(await send(cdb.reportTargetPortGroups(bytes)))
      assert.equal(data.length, Math.min(bytes, 32))
      if (bytes >= 4) assert.equal(data[3], 0x1c)
    }
  })

  test("while it changes, a group is transitioning", async () => {
    const bench = makeBench(twoGroups)
    let finish = (): void => {}
    const changed = bench.target.portGroups.transition(
      2,
      "active/optimized",
      () => new Promise((done) => (finish = done)),
    )
    assert.equal((await report(bench))[16], 0x0f)
    finish()
    await changed
    assert.equal((await report(bench))[16], 0x00)
  })

  test("offline ports are once more in a secondary group of their own", async () => {
    const bench = makeBench(twoGroups)
    bench.target.portGroups.set(2, "offline")
    const data = hex(await report(bench))
    const primary = "03cf0002" + "00020002" + "00000002" + "00000003"
    const secondary = "0ecfffff" + "00020002" + "00000002" + "00000003"
    assert.equal(data.slice(32), primary + secondary)
    bench.target.portGroups.set(2, "standby")
    assert.equal((await report(bench)).length, 32)
  })
})

describe("SET TARGET PORT GROUPS", () => {
  const explicit: TargetPortGroupsOptions = { ...twoGroups, explicit: true }
  const states = (target: ScsiTarget): string[] => target.portGroups.groups.map(({ state }) => state)

  test("changes the groups named, says why, and tells all nexuses but its own, on every unit", async () => {
    const { target, other, send } = makeBench(explicit)
    good(await stpg(send, setting([0x1, 1], [0x0, 2])))
    assert.deepEqual(states(target), ["active/non-optimized", "active/optimized"])
    const data = good(await send(cdb.reportTargetPortGroups(255)))
    assert.deepEqual([data[4], data[9], data[16], data[21]], [0x81, 1, 0x00, 1])
    for (const lun of [0, 1]) {
      good(await send(cdb.testUnitReady(), { lun }))
      const told = await send(cdb.testUnitReady(), { nexus: other, lun })
      checkCondition(told, unitAttention, Asc.asymmetricAccessStateChanged)
      good(await send(cdb.testUnitReady(), { nexus: other, lun }))
    }
  })

  test("what is so already changes nothing, and nobody is told", async () => {
    const { target, other, send } = makeBench(explicit)
    good(await stpg(send, setting([0x0, 1], [0x2, 2])))
    good(await stpg(send, setting()))
    good(await send(cdb.setTargetPortGroups(0)))
    assert.deepEqual(states(target), ["active/optimized", "standby"])
    assert.equal(good(await send(cdb.reportTargetPortGroups(255)))[9], 0)
    checkCondition(await send(cdb.testUnitReady(), { nexus: other }), notReady, Asc.targetPortInStandbyState)
  })

  test("of a list with something wrong in it nothing is done, and the place is named", async () => {
    const { target, send } = makeBench(explicit)
    const wrong: readonly (readonly [list: Uint8Array, byte: number, bit?: number])[] = [
      [setting([0x2, 1], [0x4, 2]), 8, 3],
      [setting([0x2, 1], [0x7, 2]), 8, 3],
      [setting([0x2, 1], [0xf, 2]), 8, 3],
      [setting([0x2, 1], [0xe, 2]), 8, 3], // offline: initiators can't
      [setting([0x2, 1], [0x0, 9]), 10],
      [setting([0x2, 1], [0x0, 0xffff]), 10],
      [setting([0x2, 1], [0x0, 1]), 8, 3],
    ]
    for (const [list, byte, bit] of wrong) {
      const sense = checkCondition(await stpg(send, list), illegalRequest, Asc.invalidFieldInParameterList)
      const field = { in: "parameters" as const, byte, ...(bit !== undefined && { bit }) }
      assert.deepEqual(sense.detail.field, field)
    }
    assert.deepEqual(states(target), ["active/optimized", "standby"])
  })

  test("a list of a length that can't be", async () => {
    const { send } = makeBench(explicit)
    for (const bytes of [1, 5, 7, 0x10_000]) {
      const sense = checkCondition(
        await send(cdb.setTargetPortGroups(bytes), { dataOut: new Uint8Array(8) }),
        illegalRequest,
        Asc.invalidFieldInCdb,
      )
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 6 })
    }
    const short = await send(cdb.setTargetPortGroups(12), { dataOut: new Uint8Array(8) })
    checkCondition(short, illegalRequest, Asc.parameterListLengthError)
  })

  test("where initiators may not, the command isn't there", async () => {
    for (const options of [undefined, twoGroups]) {
      const { target, send } = makeBench(options)
      const before = states(target)
      checkCondition(await stpg(send, setting([0x3, 1])), illegalRequest, Asc.invalidCommandOperationCode)
      assert.deepEqual(states(target), before)
      const asked = cdb.reportSupportedOperationCodes(512, { opcode: 0xa4, serviceAction: 0x0a })
      assert.equal(good(await send(asked))[1], 0x01)
    }
    const there = makeBench(explicit)
    const asked = cdb.reportSupportedOperationCodes(512, { opcode: 0xa4, serviceAction: 0x0a })
    assert.equal(hex(good(await there.send(asked))), "0003000c" + "a40a00000000ffffffff0004")
  })

  test("a reservation of another nexus conflicts with it, but not with REPORT TARGET PORT GROUPS", async () => {
    const { other, send } = makeBench({ ...explicit, groups: [{ id: 1, ports: [1, 2] }] })
    good(await send(cdb.reserve6()))
    assert.equal((await stpg(send, setting([0x1, 1]), other)).status, 0x18)
    good(await send(cdb.reportTargetPortGroups(255), { nexus: other }))
  })

  test("through a standby port, too", async () => {
    const { target, other, send } = makeBench(explicit)
    good(await stpg(send, setting([0x2, 1], [0x0, 2]), other))
    assert.deepEqual(states(target), ["standby", "active/optimized"])
    good(await send(cdb.read10(0, 1), { nexus: other }))
  })

  const performing = (perform: TargetPortGroupsOptions["perform"]): Bench =>
    makeBench({ ...explicit, ...(perform && { perform }) })

  test("what the change takes is done first; until then the groups are transitioning", async () => {
    let finish = (): void => {}
    const asked: unknown[] = []
    const { target, other, send } = performing((changes) => {
      asked.push(changes)
      return new Promise((done) => (finish = done))
    })
    const command = stpg(send, setting([0x2, 1], [0x2, 2]))
    await Promise.resolve()
    await Promise.resolve()
    assert.deepEqual(states(target), ["transitioning", "standby"])
    const another = await stpg(send, setting([0x0, 2]), other)
    checkCondition(another, notReady, Asc.asymmetricAccessStateTransition)
    finish()
    good(await command)
    assert.deepEqual(states(target), ["standby", "standby"])
    assert.deepEqual(asked, [[{ group: 1, state: "standby" }]])
  })

  for (const how of ["at once", "later"] as const) {
    test(`a change that fails ${how}: HARDWARE ERROR, unavailable, and the others are told`, async () => {
      const failure = new Error("no quorum")
      const { target, nexus, other, send } = performing(() => {
        if (how === "at once") throw failure
        return Promise.reject(failure)
      })
      const task = await stpg(send, setting([0x0, 2]))
      checkCondition(task, hardwareError, Asc.setTargetPortGroupsCommandFailed)
      assert.deepEqual(states(target), ["active/optimized", "unavailable"])
      const unit = target.logicalUnits.get(0)!
      assert.equal(unit.takeUnitAttention(other), Asc.asymmetricAccessStateChanged)
      assert.equal(unit.takeUnitAttention(nexus), undefined)
    })
  }
})

describe("implicit changes", () => {
  const attentions = ({ target, nexus, other }: Bench): (number | undefined)[] =>
    [nexus, other].flatMap((one) =>
      [...target.logicalUnits.values()].map((unit) => unit.takeUnitAttention(one)),
    )

  test("every nexus is told on every unit, once; of no change nobody", () => {
    const bench = makeBench(twoGroups)
    const changed = Asc.asymmetricAccessStateChanged
    bench.target.portGroups.set(2, "active/optimized")
    assert.deepEqual(attentions(bench), [changed, changed, changed, changed])
    bench.target.portGroups.set(2, "active/optimized")
    assert.deepEqual(attentions(bench), [undefined, undefined, undefined, undefined])
  })

  test("one that takes time is told of when it is over", async () => {
    const bench = makeBench(twoGroups)
    let finish = (): void => {}
    const work = (): Promise<void> => new Promise((done) => (finish = done))
    const changed = bench.target.portGroups.transition(2, "active/optimized", work)
    assert.deepEqual(attentions(bench), [undefined, undefined, undefined, undefined])
    assert.throws(() => bench.target.portGroups.set(2, "standby"), { code: "ERR_TARGET_PORT_GROUP" })
    finish()
    await changed
    assert.equal(attentions(bench)[0], Asc.asymmetricAccessStateChanged)
  })

  test("one that fails: IMPLICIT ... TRANSITION FAILED, and the group is what it was", async () => {
    const bench = makeBench(twoGroups)
    const work = (): Promise<void> => Promise.reject(new Error("no quorum"))
    await assert.rejects(bench.target.portGroups.transition(2, "active/optimized", work), /no quorum/)
    const failed = Asc.implicitAccessStateTransitionFailed
    assert.deepEqual(attentions(bench), [failed, failed, failed, failed])
    checkCondition(
      await bench.send(cdb.testUnitReady(), { nexus: bench.other }),
      notReady,
      Asc.targetPortInStandbyState,
    )
  })

  test("a group that isn't there", () => {
    const { target } = makeBench(twoGroups)
    assert.throws(() => target.portGroups.set(3, "standby"), { code: "ERR_TARGET_PORT_GROUP" })
  })

  test("a nexus that comes later finds the state its port is in", async () => {
    const { target, send } = makeBench(twoGroups)
    target.portGroups.set(1, "unavailable")
    const late = testNexusThrough(1, "late")
    target.attachNexus(late)
    const first = await send(cdb.testUnitReady(), { nexus: late })
    checkCondition(first, unitAttention, Asc.powerOnResetOrBusDeviceReset)
    const second = await send(cdb.testUnitReady(), { nexus: late })
    checkCondition(second, notReady, Asc.targetPortInUnavailableState)
  })
})

describe("groups that can't be", () => {
  const cases: readonly (readonly [why: RegExp, options: TargetPortGroupsOptions])[] = [
    [/1 to 64 target port groups, not 0/, { groups: [] }],
    [
      /two target port groups 1/,
      {
        groups: [
          { id: 1, ports: [1] },
          { id: 1, ports: [2] },
        ],
      },
    ],
    [
      /port 2 is in two/,
      {
        groups: [
          { id: 1, ports: [1, 2] },
          { id: 2, ports: [2] },
        ],
      },
    ],
    [/1 to 255 ports, not 0/, { groups: [{ id: 1, ports: [] }] }],
    [/0 is no relative target port/, { groups: [{ id: 1, ports: [0] }] }],
    [/from 1 to 65534, not 65535/, { groups: [{ id: 65535, ports: [1] }] }],
    [/transition time/, { groups: [{ id: 1, ports: [1] }], transitionSeconds: 256 }],
  ]
  for (const [why, portGroups] of cases) {
    test(String(why), () => {
      assert.throws(() => new ScsiTarget({ clock: new VirtualClock(), portGroups }), {
        code: "ERR_TARGET_PORT_GROUP",
        message: why,
      })
    })
  }

  test("a port that is in none has no state: it lets everything through", () => {
    const { target } = makeBench(twoGroups)
    assert.equal(target.portGroups.ofPort(7), undefined)
    assert.equal(target.portGroups.restrictionOf(7), undefined)
  })
})
