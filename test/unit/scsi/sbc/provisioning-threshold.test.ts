import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { DelayStore } from "../../../../src/backstore/delay.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { THRESHOLD_POLL_MS } from "../../../../src/base/limits.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { logSense } from "../../../../src/scsi/cdb/index.ts"
import { DiskUnit, type DiskUnitOptions } from "../../../../src/scsi/sbc/disk-unit.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good, TestTask, testNexus } from "../../../suites/scsi-task.ts"
import { blockCdb, makeDisk } from "./disk.ts"

const MiB = 1024 * 1024
const { unitAttention, illegalRequest } = SenseKey

function setUp(options: DiskUnitOptions = {}) {
  const clock = new VirtualClock()
  const device = new MemoryStore({ sizeBytes: 64 * MiB })
  const unit = new DiskUnit(new DelayStore(device, {}, { clock }), { clock, ...options })
  const [one, two] = [testNexus("one"), testNexus("two")]
  for (const nexus of [one, two]) unit.attachNexus(nexus)
  const run = async (cdb: Uint8Array, dataOut?: Uint8Array, nexus = one) => {
    const task = new TestTask(nexus, cdb, dataOut ? { dataOut } : {})
    unit.commandReceived(task)
    await task.ended
    return task
  }
  /** MODE SELECT (6) of one page; the other nexus hears of changed mode parameters. */
  const select = async (page: Uint8Array) => {
    const dataOut = Uint8Array.of(0, 0, 0, 0, ...page)
    const task = await run(Uint8Array.of(0x15, 0x10, 0, 0, dataOut.length, 0), dataOut)
    unit.takeUnitAttention(two)
    return task
  }
  const report = (on: boolean) => select(Uint8Array.of(0x01, 10, 0, 0, 0, 0, 0, on ? 0x80 : 0, 0, 0, 0, 0))
  /** ENABLED, and the count of threshold sets. */
  const arm = (sets: number, flags = 0x81) =>
    select(Uint8Array.of(0x5c, 2, 0, 20, ...new Uint8Array(12), flags, 2, 0, 0, 0, 0, 0, sets))
  const fill = (bytes: number) => device.write(0, new Uint8Array(bytes).fill(1), false)
  const poll = () => clock.advance(THRESHOLD_POLL_MS)
  const told = (nexus = one) => unit.takeUnitAttention(nexus)
  return { clock, device, unit, one, two, run, report, arm, fill, poll, told }
}

describe("the provisioning threshold of a thin disk", () => {
  it("is reached when more is in use, and told to each nexus, with its descriptor's place", async () => {
    const { two, run, report, arm, fill, poll, told, unit } = setUp()
    good(await report(true))
    good(await arm(4))
    fill(4 * MiB)
    await poll()
    assert.equal(told(), undefined, "within the range")
    fill(5 * MiB)
    await poll()
    unit.control.descriptorSense = true
    const sense = checkCondition(
      await run(new Uint8Array(6)),
      unitAttention,
      Asc.thinProvisioningSoftThresholdReached,
    )
    assert.equal(sense.detail.information, 16)
    const polled = good(await run(Uint8Array.of(0x03, 0, 0, 0, 18, 0), undefined, two))
    assert.deepEqual([polled[2], polled[6], polled[12], polled[13]], [unitAttention, 16, 0x38, 0x07])
  })

  it("is told of once, until less has been in use again", async () => {
    const { device, report, arm, fill, poll, told } = setUp()
    await report(true)
    await arm(4)
    fill(6 * MiB)
    await poll()
    assert.equal(told(), Asc.thinProvisioningSoftThresholdReached)
    for (const bytes of [7 * MiB, 8 * MiB]) {
      fill(bytes)
      await poll()
      assert.equal(told(), undefined)
    }
    device.discard(4 * MiB, 4 * MiB)
    await poll()
    fill(6 * MiB)
    await poll()
    assert.equal(told(), undefined, "it hadn't been below the range")
    device.discard(MiB, 7 * MiB)
    await poll()
    fill(6 * MiB)
    await poll()
    assert.equal(told(), Asc.thinProvisioningSoftThresholdReached)
  })

  it("isn't looked for unless both switches are on, nor after a reset or when the unit is let go", async () => {
    const { clock, unit, report, arm, fill, poll, told } = setUp()
    const watched = () => clock.pending().includes("provisioning threshold")
    fill(32 * MiB)
    await report(true)
    assert.equal(watched(), false)
    await arm(4)
    assert.equal(watched(), true)
    await report(false)
    assert.equal(watched(), false)
    await report(true)
    await arm(4, 0x01)
    assert.equal(watched(), false)
    await poll()
    assert.equal(told(), undefined)
    await arm(4)
    await unit.reset(Asc.busDeviceResetFunction)
    assert.equal(watched(), false)
    assert.equal(told(), Asc.busDeviceResetFunction)
    await report(true)
    await arm(4)
    unit.release()
    assert.equal(watched(), false)
  })

  it("goes on being looked for after the device couldn't answer", async () => {
    const { device, report, arm, fill, poll, told } = setUp()
    await report(true)
    await arm(1)
    fill(8 * MiB)
    const usedBytes = device.usedBytes.bind(device)
    device.usedBytes = () => {
      throw new BlockError("io", "EIO")
    }
    await poll()
    assert.equal(told(), undefined)
    device.usedBytes = usedBytes
    await poll()
    assert.equal(told(), Asc.thinProvisioningSoftThresholdReached)
  })

  it("is a mode page whose switch and count can be changed, and nothing else", async () => {
    const { run, arm } = setUp()
    const sense = (control: number) =>
      run(Uint8Array.of(0x1a, 0x08, (control << 6) | 0x1c, 0x02, 255, 0)).then((task) => [
        ...good(task).subarray(4),
      ])
    const descriptor = (flags: number, ...rest: number[]) => [
      0x5c,
      2,
      0,
      20,
      ...new Uint8Array(12),
      flags,
      ...rest,
    ]
    assert.deepEqual(await sense(0), descriptor(0x01, 2, 0, 0, 0, 0, 0, 0))
    assert.deepEqual(await sense(1), descriptor(0x80, 0, 0, 0, 255, 255, 255, 255))
    good(await arm(9))
    assert.deepEqual(await sense(0), descriptor(0x81, 2, 0, 0, 0, 0, 0, 9))
    assert.deepEqual(await sense(2), descriptor(0x01, 2, 0, 0, 0, 0, 0, 0))
    checkCondition(await arm(9, 0x80), illegalRequest, Asc.invalidFieldInParameterList)
  })

  it("counts in sets the VPD page tells of, which 32 bits can count", () => {
    const { unit } = setUp()
    assert.equal(unit.threshold?.exponent, 11)
    unit.blocks = 2 ** 44
    assert.equal(unit.threshold?.exponent, 13)
    assert.equal(setUp({ logicalBlockBytes: 4096 }).unit.threshold?.exponent, 8)
    const page = unit.vpdPages.find(({ code }) => code === 0xb2)!
    assert.equal(page.build(unit, new TestTask(testNexus(), new Uint8Array(6)))[0], 13)
  })

  it("counts in the same sets as log page 0Ch", async () => {
    const { run, fill } = setUp()
    fill(5 * MiB)
    const data = Buffer.from(good(await run(logSense(0x0c, 64))))
    assert.equal(data.readUInt32BE(8), 5)
  })

  it("isn't there on a disk that isn't thin, or whose device can't tell", async () => {
    for (const { unit } of [setUp({ thin: false }), makeDisk()]) {
      assert.equal(unit.threshold, undefined)
      assert.equal(
        unit.modePages.some(({ subpage }) => subpage === 2),
        false,
      )
    }
    const disk = makeDisk()
    await disk.fails(Uint8Array.of(0x1a, 0x08, 0x1c, 0x02, 255, 0), illegalRequest, Asc.invalidFieldInCdb)
    const dataOut = Uint8Array.of(0, 0, 0, 0, 0x01, 10, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0)
    const select = Uint8Array.of(0x15, 0x10, 0, 0, dataOut.length, 0)
    await disk.fails(select, illegalRequest, Asc.invalidFieldInParameterList, { dataOut })
    await disk.good(blockCdb(0x25, 0, 0))
  })
})
