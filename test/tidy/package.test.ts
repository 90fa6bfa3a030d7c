/** The package as npm would publish it: its doors open, and it holds what they need. */
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { accessSync, constants, mkdtempSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { read, root } from "./tree.ts"

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly type: string
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>
  readonly files: readonly string[]
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

const manifest = JSON.parse(read("package.json")) as Manifest

describe("package", () => {
  let folder = ""
  let packed: string[] = []
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "sanlet-package-"))
    const built = spawnSync("npm", ["run", "--silent", "build"], { cwd: root, encoding: "utf8" })
    assert.equal(built.status, 0, built.stdout + built.stderr)
    const dry = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: root,
      encoding: "utf8",
    })
    assert.equal(dry.status, 0, dry.stderr)
    const [pack] = JSON.parse(dry.stdout) as [{ files: { path: string }[] }]
    packed = pack.files.map(({ path }) => path)
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  test("every door and program is in it", () => {
    const doors = Object.values(manifest.exports).flatMap((door) => [door.types, door.default])
    for (const path of [...doors, ...Object.values(manifest.bin)]) {
      assert.ok(packed.includes(path.replace(/^\.\//, "")), `${path} is not packed`)
    }
    for (const path of ["README.md", "LICENSE", "CHANGELOG.md"])
      assert.ok(packed.includes(path), `${path} is not packed`)
  })

  test("programs can be run as they were built: npx in a checkout does that", () => {
    for (const path of Object.values(manifest.bin)) accessSync(join(root, path), constants.X_OK)
  })

  test("no tests and no sources of ours but the built ones", () => {
    assert.deepEqual(
      packed.filter((path) => /^(?:src|cli|test|bench)\//.test(path) || path.endsWith(".test.js")),
      [],
    )
  })

  test("every door imports from outside by the package's name", () => {
    const modules = join(folder, "node_modules")
    spawnSync("mkdir", ["-p", modules])
    symlinkSync(root, join(modules, manifest.name))
    const specifiers = Object.keys(manifest.exports).map((door) => join(manifest.name, door))
    const script = `for (const name of ${JSON.stringify(specifiers)}) {
      const door = await import(name)
      if (Object.keys(door).length === 0) throw new Error(name + " exports nothing")
    }`
    const ran = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      cwd: folder,
      encoding: "utf8",
    })
    assert.equal(ran.status, 0, ran.stderr)
  })

  test("the program starts from the built files", () => {
    for (const path of Object.values(manifest.bin)) {
      assert.match(read(path.replace("dist/", "").replace(/\.js$/, ".ts")), /^#!\/usr\/bin\/env node\n/)
      const ran = spawnSync(process.execPath, [join(root, path), "--version"], { encoding: "utf8" })
      assert.equal(ran.stdout.trim(), manifest.version, ran.stderr)
    }
  })

  test("every dependency has one exact version", () => {
    for (const version of Object.values({ ...manifest.dependencies, ...manifest.devDependencies })) {
      assert.match(version, /^\d+\.\d+\.\d+$/)
    }
  })
})
