/**
 * The layer table: what a folder of src/ may import. A row may import the rows it names, and what those may. A new
 * wall belongs here and in docs/architecture.md, in one commit.
 */
import assert from "node:assert/strict"
import { dirname, join } from "node:path"
import { describe, test } from "node:test"
import { importsOf, sources } from "./tree.ts"

interface Row {
  /** A folder or a file; the longest row that holds a file is its row. */
  readonly at: string
  readonly imports: readonly string[]
  /** Packages and node: modules besides those open to everyone. */
  readonly outside?: readonly string[]
  /** Only what is named, not what that may import in turn. */
  readonly strict?: true
}

/** Node modules without side effects on the world. */
const openToAll = ["node:assert", "node:assert/strict", "node:util", "node:path"]

/** From bottom to top. */
const table: readonly Row[] = [
  { at: "src/base", imports: [], outside: ["node:*", "pino", "koffi"] },
  { at: "src/wire", imports: ["src/base"] },
  {
    at: "src/backstore",
    imports: ["src/base", "src/wire"],
    outside: ["node:fs", "node:fs/promises", "node:os", "node:crypto"],
  },
  { at: "src/scsi/spec", imports: ["src/wire", "src/base"], strict: true },
  { at: "src/scsi/cdb", imports: ["src/scsi/spec"] },
  { at: "src/scsi/sam", imports: ["src/base", "src/scsi/spec", "src/scsi/cdb"] },
  { at: "src/scsi/spc", imports: ["src/scsi/sam"], outside: ["node:crypto"] },
  { at: "src/scsi/sbc", imports: ["src/scsi/sam", "src/scsi/spc", "src/backstore"] },
  { at: "src/scsi/mmc", imports: ["src/scsi/sam", "src/scsi/spc", "src/scsi/sbc"] },
  { at: "src/scsi", imports: ["src/scsi/sbc", "src/scsi/mmc", "src/scsi/spc"] },
  { at: "src/rdma/verbs", imports: ["src/base"] },
  { at: "src/rdma/loopback", imports: ["src/rdma/verbs"] },
  { at: "src/rdma/iwarp", imports: ["src/rdma/verbs", "src/wire"] },
  { at: "src/rdma/rocev2", imports: ["src/rdma/verbs", "src/wire"] },
  { at: "src/rdma/hardware", imports: ["src/rdma/verbs"] },
  { at: "src/rdma", imports: ["src/rdma/verbs", "src/rdma/loopback", "src/rdma/iwarp"] },
  { at: "src/iscsi/spec", imports: ["src/wire", "src/base"], strict: true },
  { at: "src/iscsi/pdu", imports: ["src/iscsi/spec"] },
  { at: "src/iscsi/da.ts", imports: ["src/iscsi/pdu"] },
  { at: "src/iscsi/da-trace.ts", imports: ["src/iscsi/da.ts"], outside: ["node:diagnostics_channel"] },
  {
    at: "src/iscsi/login",
    imports: ["src/base", "src/iscsi/pdu", "src/iscsi/da.ts"],
    outside: ["node:crypto"],
  },
  { at: "src/iscsi/session", imports: ["src/iscsi/pdu", "src/iscsi/login", "src/iscsi/da-trace.ts"] },
  { at: "src/iscsi", imports: ["src/iscsi/session"] },
  { at: "src/datamover/shared", imports: ["src/iscsi/da.ts", "src/iscsi/pdu"] },
  {
    at: "src/datamover/tcp",
    imports: ["src/datamover/shared", "src/iscsi/da.ts", "src/iscsi/pdu", "src/wire"],
  },
  {
    at: "src/datamover/iser",
    imports: ["src/datamover/shared", "src/iscsi/da.ts", "src/iscsi/pdu", "src/rdma/verbs"],
  },
  { at: "src/datamover", imports: ["src/datamover/tcp", "src/datamover/iser", "src/datamover/shared"] },
  { at: "src/discovery", imports: ["src/iscsi"], outside: ["node:net"] },
  {
    at: "src/target",
    imports: ["src/iscsi", "src/datamover/tcp", "src/discovery", "src/scsi", "src/backstore"],
    outside: ["node:net", "node:crypto"],
  },
  {
    at: "src/initiator",
    imports: ["src/iscsi", "src/datamover/tcp", "src/discovery", "src/scsi/cdb", "src/scsi/spec"],
    outside: ["node:crypto"],
  },
  { at: "src/control/api", imports: [] },
  {
    at: "src/control",
    imports: ["src/control/api", "src/target", "src/initiator", "src/discovery", "src/backstore"],
    outside: ["node:fs", "node:fs/promises", "node:os", "node:net", "node:crypto", "yaml", "zod"],
  },
  {
    at: "src/iser.ts",
    imports: ["src/base", "src/target", "src/initiator", "src/datamover", "src/rdma/iwarp"],
  },
  {
    at: "src/index.ts",
    imports: ["src/target", "src/initiator", "src/discovery", "src/backstore", "src/iser.ts"],
  },
  {
    at: "src/server.ts",
    imports: ["src/control", "src/target", "src/initiator", "src/backstore", "src/datamover", "src/iser.ts"],
    outside: ["node:*"],
  },
  { at: "cli", imports: ["src/control/api", "src/server.ts"], outside: ["node:*", "commander"] },
]

const inside = (folder: string, path: string): boolean => path === folder || path.startsWith(`${folder}/`)

function rowOf(path: string): Row | undefined {
  const rows = table.filter(({ at }) => inside(at, path))
  return rows.reduce<Row | undefined>(
    (best, row) => (best && best.at.length >= row.at.length ? best : row),
    undefined,
  )
}

/** What a row may import of the project. */
function reach(row: Row): Set<string> {
  const reached = new Set<string>()
  const add = (name: string): void => {
    if (reached.has(name)) return
    reached.add(name)
    if (row.strict) return
    for (const below of table.filter(({ at }) => inside(name, at)))
      for (const next of below.imports) add(next)
  }
  for (const name of row.imports) add(name)
  return reached
}

/** Why `path` may not import `specifier`, or undefined. */
function objection(path: string, row: Row, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) {
    const allowed = [...openToAll, ...(row.outside ?? [])]
    const granted = allowed.some(
      (name) => name === specifier || (name.endsWith("*") && specifier.startsWith(name.slice(0, -1))),
    )
    return granted ? undefined : `${path} imports ${specifier}, which ${row.at} may not`
  }
  const target = join(dirname(path), specifier)
  if (target === "src/server.ts" && !path.startsWith("cli/"))
    return `${path} imports src/server.ts, the composition root`
  if (rowOf(target) === row) return undefined
  const granted = [...reach(row)].some((name) => inside(name, target))
  return granted
    ? undefined
    : `${path} imports ${target}: ${row.at} may import ${row.imports.join(", ") || "nothing"}`
}

describe("layers", () => {
  test("every file of src and cli has a row", () => {
    assert.deepEqual(
      sources("src", "cli").filter((path) => !rowOf(path)),
      [],
    )
  })

  test("a row imports only what the table grants", () => {
    const objections = sources("src", "cli").flatMap((path) => {
      const row = rowOf(path)
      return row ? importsOf(path).map((specifier) => objection(path, row, specifier)) : []
    })
    assert.deepEqual(
      objections.filter((text) => text !== undefined),
      [],
    )
  })

  test("the table itself keeps the walls that matter", () => {
    const reaches = (from: string, to: string): boolean => {
      const rows = table.filter(({ at }) => inside(from, at))
      return rows.some((row) => [...reach(row)].some((name) => inside(to, name) || inside(name, to)))
    }
    for (const [from, to] of [
      ["src/scsi", "src/iscsi"],
      ["src/iscsi", "src/scsi"],
      ["src/iscsi", "src/rdma"],
      ["src/datamover/tcp", "src/datamover/iser"],
      ["src/datamover/iser", "src/datamover/tcp"],
      ["src/rdma/iwarp", "src/rdma/rocev2"],
      ["src/rdma/rocev2", "src/rdma/iwarp"],
      ["src/backstore", "src/scsi"],
      ["src/initiator", "src/target"],
      ["src/target", "src/initiator"],
      ["src/initiator", "src/scsi/sam"],
    ] as const) {
      assert.equal(reaches(from, to), false, `${from} can reach ${to}`)
    }
  })

  test("src/control/api holds types only", () => {
    const code = sources("src/control/api").flatMap((path) =>
      importsOf(path).map((name) => `${path}: ${name}`),
    )
    assert.deepEqual(
      code.filter((text) => !text.includes("./")),
      [],
    )
  })

  test("a row only names rows above it in the table", () => {
    const order = table.map(({ at }) => at)
    for (const [index, { at, imports }] of table.entries()) {
      for (const name of imports) {
        const last = order.findLastIndex((other) => inside(name, other))
        assert.ok(
          (last < index && last >= 0) || inside(name, at),
          `${at} names ${name}, which stands below it`,
        )
      }
    }
  })
})
