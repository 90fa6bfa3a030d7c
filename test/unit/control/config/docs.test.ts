import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { parseConfiguration } from "../../../../src/control/config/load.ts"
import { pageWithReference, readPage } from "./reference.ts"

const context = {
  directory: "/srv",
  env: { SAN_DISCOVERY_SECRET: "the secret of discovery" },
  readFile: (path: string) => `the secret in ${path}\n`,
}

test("the reference in docs/configuration.md is that of the schema", () => {
  const page = readPage()
  assert.equal(page, pageWithReference(page), "run node --import tsx test/unit/control/config/reference.ts")
})

test("what docs/configuration.md shows is right", () => {
  const blocks = [...readPage().matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => text ?? "")
  assert.equal(blocks.length, 4)
  const [whole = "", portals = "", alua = "", media = ""] = blocks
  parseConfiguration(whole, "docs/configuration.md", context)
  // The second shows portals alone; what else there must be is the first one's.
  const { portals: shown } = parseConfiguration(`${portals}${whole}`, "docs/configuration.md", context)
  assert.deepEqual(
    shown.map(({ iser }) => iser),
    [undefined, false],
  )
  const [target] = parseConfiguration(alua, "docs/configuration.md", context).targets
  assert.deepEqual(
    target?.alua?.groups.map(({ state }) => state),
    [undefined, "active/non-optimized"],
  )
  const { targets } = parseConfiguration(media, "docs/configuration.md", context)
  assert.deepEqual(
    targets[0]?.luns.map(({ type, removable, device }) => [type, removable, device?.type]),
    [
      ["cdrom", undefined, "file"],
      ["cdrom", undefined, undefined],
      [undefined, true, "file"],
    ],
  )
})

test("examples/san.yaml is right, and uses most of what there is", () => {
  const text = readFileSync("examples/san.yaml", "utf8")
  const { targets, portals, discovery } = parseConfiguration(text, "examples/san.yaml", context)
  assert.equal(portals.length, 3)
  assert.equal(discovery?.chap?.users[0]?.name, "discovery")
  assert.deepEqual(
    targets.map(({ luns }) => luns.map(({ device }) => device?.type)),
    [["file", "file", "readonly", "file", undefined], ["delay"]],
  )
  assert.equal(targets[0]?.chap?.outgoing?.name, "san")
  assert.equal(targets[0]?.login?.maxBurstLength, 2 ** 20)
})
