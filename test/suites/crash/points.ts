/** Stops a durable write at each of its steps, and looks what the next start finds. */
import assert from "node:assert/strict"
import { SeededRandom } from "../../../src/base/random.ts"
import { CrashFiles, type Remains, type StepKind, type Trouble } from "./files.ts"
import { useFiles } from "./system.ts"

/** A durable write from one state to another. `Started` is what a start of the program has open. */
export interface DurableWrite<Started> {
  /** Another start of the program, on the files there are. */
  start(): Promise<Started>
  /** Brings about the old state. */
  before?(started: Started): Promise<void>
  /** Resolves: it is acknowledged. Rejects: the user or the initiator is told that it failed. */
  write(started: Started): Promise<void>
  /** What there is, as something that can be compared. */
  find(started: Started): unknown
  readonly old: unknown
  readonly fresh: unknown
  /** What else may be found after a write that was told to have failed, or wasn't told of at all. */
  readonly otherwise?: readonly unknown[]
  /** Steps whose failure is no failure of the write: the reason. */
  readonly mayFailUnheard?: string
  /** The same write again ends with the new state, also after a crash. Default: true. */
  readonly repeatable?: boolean
  /** How many states a loss of power is taken to leave, besides the least and the most. Default: 8. */
  readonly drawn?: number
}

export interface CrashCount {
  /** Of the write. */
  readonly steps: number
  /** Starts after a crash. */
  readonly starts: number
}

/** How many states a loss of power at one step is taken to leave, besides the least and the most. */
const DRAWN = 8

/** What the next start may find: after a loss of power, and of the process alone. */
function leftBy(files: CrashFiles, seed: number, count = DRAWN): CrashFiles[] {
  const drawn = Array.from({ length: count }, (_, i) => new SeededRandom(seed * 1000 + i))
  const remains: Remains[] = ["nothing", "all", ...drawn]
  return [files.afterKill(), ...remains.map((each) => files.afterCrash(each))]
}

/**
 * Each step of the write is, in turn, the last before the power fails, is torn, and fails with EIO. Whatever isn't stable may
 * then be there or not. Afterwards there is the old state or the new one; the new one, if the write was acknowledged; and the write
 * can be done again, to last. A sync or rename that fails is told of.
 */
export async function crashPoints<Started>(write: DurableWrite<Started>): Promise<CrashCount> {
  let starts = 0
  let steps = 0
  for (const trouble of ["crash", "torn", "error"] as const) {
    for (let at = 1; ; at++) {
      const { struck, outcome, files } = await interrupted(write, at, trouble)
      const where = `${trouble} at step ${at} (${struck ?? "none"})`
      if (trouble === "error") checkTold(write, struck, outcome, where)
      for (const [i, left] of leftBy(files, at, write.drawn).entries()) {
        await checkStart(write, left, outcome, `${where}, variant ${i}`)
        starts++
      }
      if (struck === undefined) break
      steps = Math.max(steps, at)
    }
  }
  await checkRetries(write)
  return { steps, starts }
}

type Outcome = "acknowledged" | "failed" | "unknown"

async function interrupted<Started>(
  write: DurableWrite<Started>,
  at: number,
  trouble: Trouble,
): Promise<{ struck: StepKind | undefined; outcome: Outcome; files: CrashFiles; started: Started }> {
  const files = new CrashFiles()
  useFiles(files)
  const started = await write.start()
  await write.before?.(started)
  files.settle()
  files.arm(at, trouble)
  const outcome = await Promise.race([
    write.write(started).then(
      () => "acknowledged" as const,
      () => "failed" as const,
    ),
    files.down.then(() => "unknown" as const),
  ])
  if (files.struck === undefined) assert.equal(outcome, "acknowledged", "without trouble it succeeds")
  return { struck: files.struck, outcome, files, started }
}

function checkTold<Started>(
  { mayFailUnheard }: DurableWrite<Started>,
  struck: StepKind | undefined,
  outcome: Outcome,
  where: string,
): void {
  if (mayFailUnheard === undefined && (struck === "sync" || struck === "rename"))
    assert.equal(outcome, "failed", `${where}: is told of`)
}

async function checkStart<Started>(
  write: DurableWrite<Started>,
  files: CrashFiles,
  outcome: Outcome,
  where: string,
): Promise<void> {
  useFiles(files)
  try {
    const started = await write.start()
    checkFound(write, await write.find(started), outcome, where)
    if (write.repeatable === false) return
    await write.write(started)
    assert.deepEqual(await write.find(started), write.fresh, "once more")
    useFiles(files.afterCrash("nothing"))
    assert.deepEqual(await write.find(await write.start()), write.fresh, "once more, and the power fails")
  } catch (error) {
    if (error instanceof Error) error.message = `${where}: ${error.message}`
    throw error
  }
}

function checkFound<Started>(
  { old, fresh, otherwise = [] }: DurableWrite<Started>,
  found: unknown,
  outcome: Outcome,
  where: string,
): void {
  const possible = outcome === "acknowledged" ? [fresh] : [old, fresh, ...otherwise]
  const fits = possible.some((state) => {
    try {
      assert.deepEqual(found, state)
      return true
    } catch {
      return false
    }
  })
  if (!fits)
    assert.deepEqual(found, possible[0], `${where}, ${outcome}: none of ${possible.length} possible states`)
}

/** After a failure the process goes on, and what it acknowledges then is there after a crash, too. */
async function checkRetries<Started>(write: DurableWrite<Started>): Promise<void> {
  if (write.repeatable === false) return
  for (let at = 1; ; at++) {
    const { struck, files, started } = await interrupted(write, at, "error")
    if (struck === undefined) return
    const again = await write.write(started).then(
      () => "acknowledged" as const,
      () => "failed" as const,
    )
    for (const left of leftBy(files, at, write.drawn)) {
      const where = `error at step ${at} (${struck}), then tried again and ${again}`
      await checkStart(write, left, again, where)
    }
  }
}
