import assert from "node:assert/strict"
import { test } from "node:test"
import { benchBackstore } from "../../bench/backstore.ts"

test("the backstore benchmark runs", async () => {
  const results = await benchBackstore(1024 * 1024)
  assert.ok(results.length === 6 || results.length === 12)
  for (const { name, nsPerOperation } of results) assert.ok(nsPerOperation > 0, name)
})
