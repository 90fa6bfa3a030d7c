import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { SeededRandom } from "../../../../src/base/random.ts"
import { deriveNames } from "../../../../src/scsi/spc/identity.ts"

describe("names derived from a seed", () => {
  test("they don't change from release to release", () => {
    assert.deepEqual(deriveNames("123e4567-e89b-42d3-a456-426614174000"), {
      serial: "123e4567e89b42d3a456426614174000",
      naa: "3af6a000626eece8",
    })
  })

  test("a UUID is the same however it is written", () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        const names = deriveNames(uuid)
        assert.deepEqual(deriveNames(uuid.toUpperCase()), names)
        assert.deepEqual(deriveNames(uuid.replaceAll("-", "")), names)
      }),
    )
  })

  test("any seed gives a locally assigned NAA name and a serial number of 32 digits, always the same", () => {
    fc.assert(
      fc.property(fc.string(), (seed) => {
        const names = deriveNames(seed)
        assert.match(names.naa, /^3[0-9a-f]{15}$/)
        assert.match(names.serial, /^[0-9a-f]{32}$/)
        assert.deepEqual(deriveNames(seed), names)
      }),
    )
  })

  test("different seeds never agree, even when they hardly differ", () => {
    const random = new SeededRandom(1)
    const seeds = new Set<string>()
    for (let i = 0; i < 20_000; i++) {
      seeds.add(`lun-${i}`)
      seeds.add(Buffer.from(random.fill(new Uint8Array(16))).toString("hex"))
    }
    const names = [...seeds].map(deriveNames)
    assert.equal(new Set(names.map(({ naa }) => naa)).size, seeds.size)
    assert.equal(new Set(names.map(({ serial }) => serial)).size, seeds.size)
  })
})
