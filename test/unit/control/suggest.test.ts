import assert from "node:assert/strict"
import { test } from "node:test"
import { suggest } from "../../../src/control/suggest.ts"

test("typing errors are seen through", () => {
  const keys = ["portals", "discovery", "targets", "log", "naa"]
  assert.equal(suggest("tagrets", keys), "targets")
  assert.equal(suggest("target", keys), "targets")
  assert.equal(suggest("Portal", keys), "portals")
  assert.equal(suggest("discvery", keys), "discovery")
  assert.equal(suggest("na", keys), "naa")
  assert.equal(suggest("logg", keys), "log")
})

test("what is far from everything gets no suggestion", () => {
  assert.equal(suggest("password", ["portals", "targets"]), undefined)
  assert.equal(suggest("x", ["log"]), undefined)
  assert.equal(suggest("", ["log"]), undefined)
  assert.equal(suggest("a".repeat(100_000), ["log"]), undefined)
})
