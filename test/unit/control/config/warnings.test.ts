import assert from "node:assert/strict"
import { test } from "node:test"
import { parseConfiguration } from "../../../../src/control/config/load.ts"
import { configurationWarnings } from "../../../../src/control/config/warnings.ts"

const context = { directory: "/srv", env: {}, readFile: () => "" }

function warningsOf(listen: string, more: string): string[] {
  const text = `portals: [{ listen: "${listen}" }]
targets:
  - name: iqn.2026-01.org.example:a
    ${more}
    luns: [{ lun: 0, device: { type: memory, size: 1M } }]
`
  return configurationWarnings(parseConfiguration(text, "san.yaml", context))
}

test("disks that are open to a network", () => {
  const warning =
    "iqn.2026-01.org.example:a has neither CHAP nor an access list: whoever reaches its portals can write to it"
  for (const listen of ["0.0.0.0:3260", "[::]:3260", "192.0.2.1:3260"]) {
    assert.deepEqual(warningsOf(listen, ""), [warning])
    assert.deepEqual(warningsOf(listen, "access: { deny: [192.0.2.66] }"), [warning])
    assert.deepEqual(warningsOf(listen, "access: { allow: [192.0.2.0/24] }"), [])
    assert.deepEqual(warningsOf(listen, 'access: { initiators: ["iqn.2026-01.org.example:*"] }'), [])
    assert.deepEqual(warningsOf(listen, "chap: { users: [{ name: a, secret: 0123456789ab }] }"), [])
  }
  for (const listen of ["127.0.0.1:3260", "[::1]:3260", "localhost:3260"]) {
    assert.deepEqual(warningsOf(listen, ""), [])
  }
})

test("secrets that are easily guessed", () => {
  const warnings = warningsOf("127.0.0.1:3260", "chap: { users: [{ name: a, secret: short }] }")
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? "", /the CHAP secret of "a" is shorter than 12 bytes/)
  assert.ok(!warnings[0]?.includes('"short"'))
})
