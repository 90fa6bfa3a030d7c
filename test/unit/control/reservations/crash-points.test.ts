import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { ReservationFile } from "../../../../src/control/reservations/reservation-file.ts"
import { nothingReserved, type PersistentState } from "../../../../src/scsi/sam/persistent-state.ts"
import { crashPoints } from "../../../suites/crash/points.ts"

const FOLDER = "/crash/state/reservations"
const NAA = "3000000000000001"

/** Hosts that are registered with these keys. */
const state = (...keys: bigint[]): PersistentState => ({
  activated: true,
  registrations: new Map(
    keys.map((key) => {
      const initiatorPortName = `iqn.2026-01.org.example:${key},i,0x000000000001`
      const targetPort = { targetPortName: "iqn.2026-01.org.example:t,t,0x0001", relativeTargetPort: 1 }
      return [`${initiatorPortName} ${targetPort.targetPortName}`, { initiatorPortName, targetPort, key }]
    }),
  ),
})

const keysOf = ({ found }: ReservationFile): bigint[] | "lost" => {
  if (found === "lost") return "lost"
  return [...(found ?? nothingReserved).registrations.values()].map(({ key }) => key)
}

const start = () => ReservationFile.open(FOLDER, NAA)

/** What is found is what a start finds: what was asked for since is looked for by another. */
const find = async () => keysOf(await start())

describe("a reservation file, at every step of a save", () => {
  test("has the state before or the one after, and never counts as lost", async () => {
    const count = await crashPoints({
      start,
      before: (file) => file.save(state(1n)),
      write: (file) => file.save(state(2n, 1n, 2n ** 64n - 1n)),
      find,
      old: [1n],
      fresh: [2n, 1n, 2n ** 64n - 1n],
    })
    assert.ok(count.steps >= 5)
  })

  test("the first time, its folder with it", async () => {
    await crashPoints({
      start: async () => ({ save: async (kept: PersistentState) => (await start()).save(kept) }),
      write: (file) => file.save(state(7n)),
      find,
      old: [],
      fresh: [7n],
    })
  })

  test("and the last time: what is not to be found any more isn't", async () => {
    await crashPoints({
      start,
      before: (file) => file.save(state(1n)),
      write: (file) => file.save(undefined),
      find,
      old: [1n],
      fresh: [],
    })
  })
})
