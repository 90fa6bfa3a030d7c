import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { isIn } from "../../../../src/control/config/reach.ts"
import { ConfigurationError, parseConfiguration } from "../../../../src/control/config/load.ts"
import type { TargetConfiguration } from "../../../../src/control/config/schema.ts"
import { lastingAccessStates } from "../../../../src/scsi/spec/access-state.ts"

const context = { directory: "/etc/san", env: {}, readFile: () => "" }

/** Three portal groups, and a target with `alua` as its fourth line, the tenth of the file. */
const text = (alua: string): string => `portals:
  - listen: 127.0.0.1:3261
    group: 1
  - listen: 127.0.0.1:3262
    group: 2
  - listen: 127.0.0.1:3263
    group: 3
targets:
  - name: iqn.2026-01.org.example:disks
    ${alua}
    luns: [{ lun: 0, device: { type: memory, size: 1M } }]
`

function parse(alua: string): TargetConfiguration {
  const [target] = parseConfiguration(text(alua), "san.yaml", context).targets
  return target!
}

function errorsOf(alua: string): string[] {
  try {
    parse(alua)
  } catch (error) {
    assert.ok(error instanceof ConfigurationError)
    return error.message.split("\n")
  }
  return assert.fail("no error")
}

describe("target port groups in a configuration", () => {
  test("all there is to say of them", () => {
    const { alua } = parse(`alua:
      explicit: on
      groups:
        - { portalGroups: [1], preferred: on }
        - { id: 7, portalGroups: [2, 3], state: standby }`)
    assert.deepEqual(alua, {
      explicit: true,
      groups: [
        { portalGroups: [1], preferred: true },
        { id: 7, portalGroups: [2, 3], state: "standby" },
      ],
    })
  })

  test("every state there is", () => {
    for (const state of lastingAccessStates) {
      const { alua } = parse(`alua: { groups: [{ portalGroups: [1], state: ${state} }] }`)
      assert.equal(alua?.groups[0]?.state, state)
    }
  })

  test("the target is reached through the portal groups that are in one", () => {
    const target = parse("alua: { groups: [{ portalGroups: [1] }, { portalGroups: [3] }] }")
    assert.deepEqual(
      [1, 2, 3].map((group) => isIn(target, group)),
      [true, false, true],
    )
    const both = parse("portalGroups: [3, 1]\n    alua: { groups: [{ portalGroups: [1, 3] }] }")
    assert.equal(isIn(both, 2), false)
  })

  test("what is wrong is told with its place, and with what was expected", () => {
    const states = "expected active/optimized, active/non-optimized, standby, unavailable or offline"
    /** A ^ stands before what is wrong. */
    const cases: readonly (readonly [alua: string, error: string])[] = [
      [
        "alua: { groups: [{ portalGroups: [1], state: ^stanby }] }",
        `groups[0].state: ${states}, found "stanby"; did you mean "standby"?`,
      ],
      [
        "alua: { groups: [{ portalGroups: [1], state: ^transitioning }] }",
        `groups[0].state: ${states}, found "transitioning"`,
      ],
      ["^alua: {}", "groups: missing; expected a list"],
      ["alua: { groups: ^[] }", "groups: expected at least 1 entry, found an empty list"],
      ["alua: { groups: [^{ state: standby }] }", "groups[0].portalGroups: missing; expected a list"],
      [
        "alua: { groups: [{ portalGroups: [^9] }] }",
        "groups[0].portalGroups[0]: no portal is in group 9; there are 1, 2, 3",
      ],
      [
        "alua: { groups: [{ id: ^65535, portalGroups: [1] }] }",
        "groups[0].id: expected 65534 or less, found 65535",
      ],
      [
        "alua: { groups: [{ portalGroups: [1, 2] }, { portalGroups: [^2] }] }",
        "groups[1].portalGroups[0]: the portal group 2 is used already, above",
      ],
      [
        "alua: { groups: [{ id: 2, portalGroups: [1] }, ^{ portalGroups: [2] }] }",
        "groups[1].id: the target port group 2 is used already, above",
      ],
      [
        "alua: { explicit: ^sometimes, groups: [{ portalGroups: [1] }] }",
        'explicit: expected on or off, found "sometimes"',
      ],
      [
        "alua: { groups: [{ portalGroups: [1], ^prefered: on }] }",
        'groups[0].prefered: unknown key "prefered"; did you mean "preferred"?',
      ],
    ]
    for (const [marked, error] of cases) {
      const column = 5 + marked.indexOf("^")
      const told = errorsOf(marked.replace("^", ""))
      assert.deepEqual(told, [`san.yaml:10:${column}: targets[0].alua.${error}`], marked)
    }
    assert.deepEqual(errorsOf("alua: { groups: [{ portalGroups: [1] }] }\n    portalGroups: [1, 2]"), [
      "san.yaml:11:23: targets[0].portalGroups[1]: expected a portal group of alua.groups (1), found 2",
    ])
    assert.deepEqual(errorsOf("alua: { groups: [{ portalGroups: [1, 3] }] }\n    portalGroups: [1, 2]"), [
      "san.yaml:10:42: targets[0].alua.groups[0].portalGroups[1]: expected a portal group of the target's portalGroups (1, 2), found 3",
      "san.yaml:11:23: targets[0].portalGroups[1]: expected a portal group of alua.groups (1, 3), found 2",
    ])
  })
})
