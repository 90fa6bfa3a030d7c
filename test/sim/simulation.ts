/** One run of a simulation: everything it does follows from its seed. */
import { SeededRandom } from "../../src/base/random.ts"
import type { Transport } from "../../src/initiator/index.ts"
import { forEachSeed } from "../seed.ts"
import { Client } from "./client.ts"
import { drawScenario, type Profile } from "./scenario.ts"
import { Tally } from "./tally.ts"
import { TimeBox } from "./time-box.ts"
import { Trouble } from "./trouble.ts"
import { World } from "./world.ts"

/** Operations of a run, all clients together. */
const OPERATIONS = 60
/** Longest a run may take to calm down, in virtual time. */
const CALM_MS = 3_600_000
/** Until the last goodbyes and deadlines are over. */
const LEAVE_MS = 60_000
const TRACE_LINES = 120
/** Longest all seeds of a test may take, in ms. */
const SEEDS_MS_MAX = 150_000

/**
 * Runs one seed; clients draw from `transports`. Rejects when something was wrong, with the trace in the message when
 * there is one.
 */
export async function simulate(
  seed: number,
  profile: Profile,
  transports: readonly Transport[],
  traceLines = 0,
): Promise<Tally> {
  const random = new SeededRandom(seed)
  const world = new World(drawScenario(random, profile, transports, OPERATIONS), random, traceLines)
  const run = new Run(world)
  const escaped = (error: unknown) => run.fail(new Error("an error escaped", { cause: error }))
  process.on("uncaughtException", escaped)
  process.on("unhandledRejection", escaped)
  try {
    await run.run()
    return run.tally
  } catch (cause) {
    const { message } = cause as Error
    const why = (cause as Error).cause ? `\n${((cause as Error).cause as Error).stack ?? ""}` : ""
    throw new Error(`${message}${why}\n${JSON.stringify(world.scenario)}\n${world.trace.text}`, { cause })
  } finally {
    world.trace.end()
    process.off("uncaughtException", escaped)
    process.off("unhandledRejection", escaped)
  }
}

class Run {
  readonly #world: World
  readonly tally = new Tally()
  #failure: Error | undefined

  constructor(world: World) {
    this.#world = world
  }

  fail(error: Error): void {
    this.#failure ??= error
  }

  async run(): Promise<void> {
    const { scenario, entities, clock } = this.#world
    await this.#world.start()
    const fail = (error: Error) => this.fail(error)
    const clients = scenario.clients.map((plan, i) => new Client(this.#world, plan, i, this.tally, fail))
    const trouble = new Trouble(this.#world, this.tally)
    const troubled = trouble.run()
    const calm = clock.after(2000, "calm down", () => trouble.stop())
    await this.#until(
      Promise.all(clients.map((client) => client.run())).then(() => trouble.stop()),
      "the clients",
    )
    calm.cancel()
    await this.#until(troubled, "the troublemaker")
    await this.#judge(clients)
    await this.#until(Promise.all(entities.map((entity) => entity.close())), "the target's end")
    await clock.advance(LEAVE_MS)
    this.#throwFailure()
    const left = this.#world.leftovers()
    if (left.length > 0) throw new Error(`left at the end: ${left.join(", ")}`)
  }

  /** Lets time pass until `done` has settled; fails if it doesn't, or if something else has gone wrong. */
  async #until(done: Promise<unknown>, what: string): Promise<void> {
    let over = false
    done.then(
      () => {
        over = true
      },
      (error: Error) => {
        this.fail(error)
        over = true
      },
    )
    const { clock } = this.#world
    const settled = await clock.advance(CALM_MS, () => over || this.#failure !== undefined)
    this.#throwFailure()
    if (!settled) throw new Error(`${what} didn't come to an end; timers: ${clock.pending().join(", ")}`)
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure
  }

  /** What the devices hold in the end. */
  async #judge(clients: readonly Client[]): Promise<void> {
    const { luns, clock, entities } = this.#world
    // Sessions whose connection the initiator has lost end once the target has noticed.
    await clock.advance(LEAVE_MS, () => entities.every(({ sessions }) => sessions.size === 0))
    this.#throwFailure()
    for (const { oracle, bytes } of luns) {
      for (const client of clients) oracle.fence(client)
      oracle.endRead(oracle.beginRead("the final look", 0, oracle.countBlocks), bytes)
    }
  }
}

/** Runs `usual` seeds (see forEachSeed) and tells of them; one that fails is run again with a trace. */
export async function simulateSeeds(
  t: { diagnostic(message: string): void },
  file: string,
  usual: number,
  profile: Profile,
  transports: readonly Transport[],
): Promise<void> {
  const total = new Tally()
  const box = new TimeBox(SEEDS_MS_MAX)
  await forEachSeed(file, usual, (seed) =>
    box.run(async () => {
      try {
        total.merge(await simulate(seed, profile, transports))
      } catch (error) {
        await simulate(seed, profile, transports, TRACE_LINES)
        throw error // it went well with a trace: still it is wrong
      }
    }),
  )
  t.diagnostic(`${box.text}; ${total.text}`)
}
