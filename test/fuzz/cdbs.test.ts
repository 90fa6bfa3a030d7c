/** Random CDBs with random data, at a logical unit and through a whole target. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { MemoryStore } from "../../src/backstore/index.ts"
import { silentLog } from "../../src/base/log.ts"
import { SeededRandom } from "../../src/base/random.ts"
import { SanletError } from "../../src/base/errors.ts"
import { CdUnit } from "../../src/scsi/mmc/cd-unit.ts"
import { DiskUnit } from "../../src/scsi/sbc/disk-unit.ts"
import type { Command } from "../../src/scsi/sam/command.ts"
import type { TaskAttribute } from "../../src/scsi/sam/task.ts"
import { OperationCode } from "../../src/scsi/spec/operation-code.ts"
import { decodeSense } from "../../src/scsi/spec/sense.ts"
import { Status } from "../../src/scsi/spec/status.ts"
import { ScsiError } from "../../src/initiator/index.ts"
import { forEachSeed } from "../seed.ts"
import { testNexus, TestTask } from "../suites/scsi-task.ts"
import { boundedMemory } from "./memory.ts"
import { mustBeTyped, Pair, VICTIM } from "./pair.ts"

const UNIT_SEEDS = 1000
const TARGET_SEEDS = 150
const CDBS = 60
const DATA_BYTES_MAX = 70_000
const EDGES = [0, 1, 2, 7, 8, 0x7f, 0x80, 0xff]

/** A CDB: noise, a command with noise in all its fields, or one with noise where it looks. */
function drawCdb(random: SeededRandom, commands: readonly Command[]): Uint8Array {
  if (random.chance(0.1)) return random.fill(new Uint8Array(6 + random.below(27)))
  const command = random.pick(commands)
  const cdb = random.fill(new Uint8Array(Math.max(16, command.usage.length)))
  const small = random.chance(0.8)
  for (const [at, usage] of command.usage.entries()) {
    const byte = random.chance(0.5) ? random.pick(EDGES) : cdb[at]!
    // Most numbers are long: only with their high bytes at zero do they reach anything.
    const high = small && at < command.usage.length - 2 && at > 1 && usage === 0xff
    cdb[at] = (high ? 0 : byte) & (random.chance(0.95) ? usage : 0xff)
  }
  cdb[0] = command.opcode
  const { serviceAction } = command
  if (serviceAction === undefined) return cdb
  if (command.opcode === OperationCode.variableLength)
    cdb.set([0x18, serviceAction >> 8, serviceAction & 0xff], 7)
  else cdb[1] = (cdb[1]! & 0xe0) | serviceAction
  return cdb
}

/** They go over the whole medium, block by block; so does a self-test, which nothing paces in a unit without a target. */
const goesOverAll = ({ opcode }: Command): boolean =>
  opcode === OperationCode.sanitize ||
  opcode === OperationCode.formatUnit ||
  opcode === OperationCode.sendDiagnostic

const drawLength = (random: SeededRandom): number =>
  random.pick([0, 0, 1, 4, 24, 255, 512, 1024, 4096, random.below(DATA_BYTES_MAX)])

/** Parameter lists are mostly zeroes: noise alone gets nowhere. */
function drawData(random: SeededRandom): Uint8Array {
  const data = new Uint8Array(drawLength(random))
  if (random.chance(0.3)) return random.fill(data)
  for (let i = 0; i < 12 && data.length > 0; i++)
    data[random.below(Math.min(data.length, 40))] = random.pick(EDGES)
  return data
}

/** Commands go wrong for a reason of the initiator's, or not at all. */
const strictLog = {
  ...silentLog,
  error: (fields: unknown, message: string) => assert.fail(`${message} ${JSON.stringify(fields)}`),
}

function drawUnit(random: SeededRandom, store: MemoryStore): DiskUnit {
  if (random.chance(0.2)) return new CdUnit(store, { random })
  const logicalBlockBytes = random.chance(0.7) ? 512 : 4096
  return new DiskUnit(store, { random, logicalBlockBytes, removable: random.chance(0.3) })
}

/** What the operator does with the tray meanwhile, if there is one. */
async function move(random: SeededRandom, { tray }: DiskUnit): Promise<void> {
  const force = random.chance(0.5)
  const medium = random.chance(0.7) ? new MemoryStore({ sizeBytes: 2 ** 20 }) : undefined
  const act = random.pick([
    () => tray?.eject({ force }),
    () => tray?.load(),
    () => tray?.change(medium, { force }),
  ])
  try {
    await act()
  } catch (error) {
    assert.ok(error instanceof SanletError && error.code === "ERR_MEDIUM_LOCKED", String(error))
  }
}

/** Until it has ended: what NACA holds up is let go. */
async function settle(task: TestTask, unit: DiskUnit): Promise<void> {
  while (!task.over) {
    for (const nexus of unit.nexuses) await unit.clearAca(nexus)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function attackUnit(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const large = random.chance(0.3)
  // A large one can't be filled: it has room for what its pages take, then it is full.
  const store = new MemoryStore({ sizeBytes: large ? 2 ** 45 : 2 ** 20, allocatedBytesMax: 2 ** 21 })
  const unit = drawUnit(random, store)
  unit.log = strictLog
  const commands = large ? unit.commands.filter((command) => !goesOverAll(command)) : unit.commands
  const nexuses = [testNexus("a"), testNexus("b")]
  for (const nexus of nexuses) unit.attachNexus(nexus)
  const tasks: TestTask[] = []
  const moves: Promise<unknown>[] = []
  for (let i = 0; i < CDBS; i++) {
    const task = new TestTask(random.pick(nexuses), drawCdb(random, commands), {
      dataOut: drawData(random),
      ...(random.chance(0.2) && { dataOutBytesMax: 0 }),
      ...(random.chance(0.7) && { dataInBytesMax: drawLength(random) }),
      ...(random.chance(0.3) && { buffers: "slow" as const }),
      attribute: random.pick([0, 1, 1, 1, 2, 3, 4] as TaskAttribute[]),
    })
    tasks.push(task)
    unit.commandReceived(task)
    if (random.chance(0.5)) await settle(task, unit)
    if (random.chance(0.1)) moves.push(move(random, unit))
  }
  for (const task of tasks) await settle(task, unit)
  await Promise.all(moves)
  assert.equal(unit.allTasks().length, 0)
  for (const task of tasks) judge(task)
}

function judge(task: TestTask): void {
  const cdb = Buffer.from(task.cdb).toString("hex")
  assert.equal(task.buffersOut, 0, `${cdb}: every buffer is given back`)
  if (task.aborts > 0) return
  assert.ok(Object.values(Status).includes(task.status as Status), `${cdb}: status ${task.status}`)
  const wantsSense = task.status === Status.checkCondition
  assert.equal(task.senseData !== undefined, wantsSense, `${cdb}: sense data come with CHECK CONDITION`)
  if (task.senseData) assert.ok(decodeSense(task.senseData), `${cdb}: the sense data can be read`)
}

async function attackTarget(seed: number): Promise<void> {
  const pair = new Pair(seed)
  const { random } = pair
  await pair.start()
  const attackers = async (): Promise<void> => {
    const disk = await pair.open(VICTIM, 0, { name: "iqn.2026-01.org.example:host-v", reconnect: false })
    const unit = new DiskUnit(new MemoryStore({ sizeBytes: 2 ** 20 }), { random })
    const one = async (): Promise<void> => {
      const dataOut = random.chance(0.5) ? drawData(random) : undefined
      const dataIn = random.chance(0.5) ? new Uint8Array(drawLength(random)) : undefined
      const attribute = random.below(5)
      const options = { attribute, ...(dataOut && { dataOut }), ...(dataIn && { dataIn }) }
      await disk.execute(drawCdb(random, unit.commands), options).catch(mustBeTyped)
    }
    for (let i = 0; i < CDBS; i += 4) await Promise.all([one(), one(), one(), one()])
    // Whatever the commands were, the session is as good as ever; the unit may be stopped, reserved or read-only now.
    assert.equal(disk.session.state, "open")
    await disk.reset()
    await disk
      .readBlocks(0, new Uint8Array(512))
      .catch((error: unknown) => assert.ok(error instanceof ScsiError))
    await disk.close()
  }
  await pair.run([pair.beHealthy(10), attackers()])
}

test("whatever the CDB, a logical unit answers it and lets go of its buffers", () =>
  boundedMemory(() => forEachSeed(import.meta.url, UNIT_SEEDS, attackUnit)))

test("no command costs a session, or disturbs another", () =>
  boundedMemory(() => forEachSeed(import.meta.url, TARGET_SEEDS, attackTarget)))
