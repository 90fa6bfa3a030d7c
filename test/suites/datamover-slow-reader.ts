/** A peer that doesn't take what it's sent, for the contract suite of datamovers. */
import assert from "node:assert/strict"
import { isPromise } from "../../src/base/completion.ts"
import { TaskAbortedError } from "../../src/iscsi/da.ts"
import {
  assertBytes,
  type DatamoverPair,
  type InitiatorEnd,
  patternOf,
  type TargetEnd,
} from "./datamover-ends.ts"

interface Ends {
  readonly pair: DatamoverPair
  readonly target: TargetEnd
  readonly initiator: InitiatorEnd
}

/** No task of a test has it. */
const SPARE_TAG = 99

/** Memory for its data runs out, and it gets everything in the end. */
export async function slowReader({ pair, target, initiator }: Ends): Promise<void> {
  if (pair.stall) await stalledReader({ pair, target, initiator }, pair.stall)
  else await pausedReader({ pair, target, initiator })
}

/**
 * With RDMA data goes past the initiator: only a network that takes nothing holds it up, and commands as
 * well.
 */
async function stalledReader(
  { pair, target, initiator }: Ends,
  stall: (stalled: boolean) => void,
): Promise<void> {
  const count = pair.systemBuffers ? 60 : 12
  target.silent = true
  for (let tag = 0; tag < count; tag++) initiator.read(tag, 1048576)
  await pair.until("the commands", () => target.seen.length === count)
  stall(true)
  for (let tag = 0; tag < count; tag++) target.read(tag, 1048576)
  await pair.settle()
  assert.ok(pair.lentBytes() > 0)
  assert.ok(pair.lentBytes() <= 5 * 1048576, `${pair.lentBytes()} bytes queued for a peer that takes none`)
  const waiting = pair.target.allocateDataIn(SPARE_TAG, 1048576)
  assert.ok(isPromise(waiting))
  pair.target.deallocateTaskResources(SPARE_TAG)
  await assert.rejects(waiting, TaskAbortedError)
  stall(false)
  await pair.until("all reads", () => initiator.seen.length === count)
  for (let tag = 0; tag < count; tag++) {
    assertBytes(initiator.dataIn.get(tag), patternOf(tag, 1048576))
  }
}

async function pausedReader({ pair, target, initiator }: Ends): Promise<void> {
  pair.initiator.pause()
  // How much the system takes before it says no is its own affair: some megabytes, or some dozen.
  let count = 0
  let waiting: ReturnType<typeof pair.target.allocateDataIn>
  for (;;) {
    initiator.read(count++, 1048576)
    await pair.until("the command", () => target.seen.length === count)
    await pair.settle()
    waiting = pair.target.allocateDataIn(SPARE_TAG, 1048576)
    if (isPromise(waiting)) break
    waiting.release()
    assert.ok(count < 60, "all is sent to a peer that doesn't read")
  }
  assert.ok(pair.lentBytes() <= 5 * 1048576, `${pair.lentBytes()} bytes queued for a peer that doesn't read`)
  pair.target.deallocateTaskResources(SPARE_TAG)
  await assert.rejects(waiting, TaskAbortedError)
  pair.initiator.resume()
  await pair.until("all reads", () => initiator.seen.length === count)
  for (let tag = 0; tag < count; tag++) {
    assertBytes(initiator.dataIn.get(tag), patternOf(tag, 1048576))
  }
}
