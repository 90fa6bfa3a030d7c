import assert from "node:assert/strict"
import fsp from "node:fs/promises"
import { describe, test } from "node:test"
import {
  type Identity,
  type IdentitySubject,
  IdentityStore,
} from "../../../../src/control/identity/identity-store.ts"
import { claimUnitFolder, FileRecords } from "../../../../src/control/identity/unit-folder.ts"
import { crashPoints } from "../../../suites/crash/points.ts"

const STATE = "/crash/state"
const IDENTITIES = `${STATE}/identities`
const UNITS = `${STATE}/units`
const OLD_NAA = "3000000000000001"
const NEW_NAA = "3000000000000002"
const IMAGE = "/crash/a.img"

/** What a start does for a unit before it serves it, and what is remembered then. */
async function serve(subject: IdentitySubject, wanted: Partial<Identity> = {}) {
  const claim = await new IdentityStore(IDENTITIES).claim(subject, wanted)
  const folder = await claimUnitFolder(UNITS, claim)
  const records = await FileRecords.open(folder)
  return { claim, records }
}

const mark = Uint8Array.of(1, 2, 3)
const makeImage = async (path = IMAGE) => {
  const image = await fsp.open(path, "w")
  await image.writeFile("image")
  await image.close()
}

describe("a unit's record, at every step of being put", () => {
  const start = async () => (await serve({ name: "memory:0" }, { naa: OLD_NAA })).records
  const find = (records: FileRecords) => records.get("medium-operation")

  test("is the old one or the new one", async () => {
    await crashPoints({
      start,
      before: (records) => records.put("medium-operation", Uint8Array.of(9)),
      write: (records) => records.put("medium-operation", mark),
      find: async (records) => [...(find(records) ?? [])],
      old: [9],
      fresh: [...mark],
    })
  })

  test("is there or not when it is the first, and when it is removed", async () => {
    await crashPoints({
      start,
      write: (records) => records.put("medium-operation", mark),
      find: (records) => find(records) !== undefined,
      old: false,
      fresh: true,
    })
    await crashPoints({
      start,
      before: (records) => records.put("medium-operation", mark),
      write: (records) => records.put("medium-operation", undefined),
      find: (records) => find(records) !== undefined,
      old: true,
      fresh: false,
    })
  })
})

describe("an identity, at every step of a start", () => {
  const identityOf = ({ naa, serial }: Identity) => ({ naa, serial })
  /** By whatever is in the folder: nobody is asked to claim anything. */
  const kept = async () => {
    const names = await fsp.readdir(IDENTITIES).catch(() => [])
    const records = names.filter((name) => name.endsWith(".json"))
    const texts = await Promise.all(records.map((name) => fsp.readFile(`${IDENTITIES}/${name}`, "utf8")))
    return texts.map((text) => identityOf(JSON.parse(text) as Identity))
  }

  test("that is claimed for the first time is kept, or nobody has been told of it", async () => {
    let told: Identity | undefined
    await crashPoints({
      start: async () => {},
      write: async () => {
        told = identityOf((await serve({ name: "memory:0" }, {})).claim)
      },
      find: async () => {
        const all = await kept()
        assert.ok(all.length <= 1, "never two")
        if (told === undefined || all.length === 0) return all.length === 1
        return all[0]!.naa === told.naa || "another than was told"
      },
      old: false,
      fresh: true,
      // One that nobody was told of may be another after the next start.
      otherwise: ["another than was told"],
      repeatable: false,
    })
  })

  test("that is left again keeps its name", async () => {
    await crashPoints({
      start: async () => (await serve({ name: "memory:0" }, { naa: OLD_NAA })).claim,
      write: (claim) => claim.release(),
      find: kept,
      old: [{ naa: OLD_NAA, serial: OLD_NAA }],
      fresh: [{ naa: OLD_NAA, serial: OLD_NAA }],
    })
  })

  for (const [what, subject] of [
    ["something with a name", { name: "memory:0" }],
    ["a file", { file: IMAGE }],
  ] as const) {
    test(`of ${what} that gets another name takes along what is remembered of it`, async () => {
      await crashPoints({
        start: async () => {},
        before: async () => {
          await makeImage()
          const { claim, records } = await serve(subject, { naa: OLD_NAA })
          await records.put("medium-operation", mark)
          await claim.release()
          // What somebody left who had the name before.
          const gone = await serve({ file: IMAGE.replace("a", "b") }, { naa: NEW_NAA }).catch(() => undefined)
          assert.equal(gone, undefined)
          await fsp.mkdir(`${UNITS}/${NEW_NAA}`)
          const left = await FileRecords.open(`${UNITS}/${NEW_NAA}`)
          await left.put("medium-operation", Uint8Array.of(9))
          await left.put("identifying-text", Uint8Array.of(9))
        },
        write: async () => {
          const { claim } = await serve(subject, { naa: NEW_NAA })
          await claim.release()
        },
        find: async () => {
          const { claim, records } = await serve(subject, { naa: NEW_NAA })
          await claim.release()
          const text = records.get("identifying-text")
          return { ...identityOf(claim), mark: [...(records.get("medium-operation") ?? [])], text }
        },
        old: { naa: NEW_NAA, serial: NEW_NAA, mark: [...mark], text: undefined },
        fresh: { naa: NEW_NAA, serial: NEW_NAA, mark: [...mark], text: undefined },
      })
    })
  }

  test("of a new file that gets the name of one that is gone gets nothing of what is remembered of that", async () => {
    const gone = "/crash/gone.img"
    await crashPoints({
      start: async () => {},
      before: async () => {
        await makeImage(gone)
        const { claim, records } = await serve({ file: gone }, { naa: OLD_NAA })
        await records.put("medium-operation", mark)
        await claim.release()
        await fsp.unlink(gone)
        await makeImage()
      },
      write: async () => {
        const { claim } = await serve({ file: IMAGE }, { naa: OLD_NAA })
        await claim.release()
      },
      find: async () => {
        const { claim, records } = await serve({ file: IMAGE }, { naa: OLD_NAA })
        await claim.release()
        return { naa: claim.naa, mark: records.get("medium-operation") }
      },
      old: { naa: OLD_NAA, mark: undefined },
      fresh: { naa: OLD_NAA, mark: undefined },
    })
  })
})
