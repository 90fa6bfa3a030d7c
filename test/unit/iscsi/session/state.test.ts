import assert from "node:assert/strict"
import { it } from "node:test"
import { SanletError } from "../../../../src/base/errors.ts"
import {
  CONNECTION_TRANSITIONS,
  type ConnectionState,
  checkTransition,
} from "../../../../src/iscsi/session/state.ts"

const states = Object.keys(CONNECTION_TRANSITIONS) as ConnectionState[]

it("allows exactly the transitions of the table, and names the others", () => {
  for (const from of states) {
    const allowed: readonly string[] = CONNECTION_TRANSITIONS[from]
    for (const to of states) {
      if (allowed.includes(to)) assert.doesNotThrow(() => checkTransition(from, to))
      else assert.throws(() => checkTransition(from, to), new RegExp(`${from} -> ${to} is no transition`))
    }
  }
})

it("throws an error of its own kind", () => {
  assert.throws(() => checkTransition("free", "logged-in"), SanletError)
})
