import assert from "node:assert/strict"
import fs from "node:fs"
import { describe, test } from "node:test"
import { Cli } from "./run-cli.ts"

/** What is wrong, and the line that says so. */
const wrong: readonly [args: string, line: string][] = [
  ["sevre", "sanlet: unknown command 'sevre' (Did you mean serve?); see sanlet --help"],
  ["serve --sizee 1G", "sanlet: unknown option '--sizee' (Did you mean --size?); see sanlet serve --help"],
  ["serve --size", "sanlet: option '--size <size>' argument missing; see sanlet serve --help"],
  [
    "serve --size 10apples",
    "sanlet: option '--size <size>' argument '10apples' is invalid. Expected a size such as 512MiB, 10G or a number of bytes; see sanlet serve --help",
  ],
  [
    "serve --listen nowhere:99999",
    "sanlet: option '--listen <host:port>' argument 'nowhere:99999' is invalid. Expected HOST:PORT, such as 0.0.0.0:3260 or [::]:3260; see sanlet serve --help",
  ],
  [
    "serve --cache sometimes",
    "sanlet: option '--cache <mode>' argument 'sometimes' is invalid. Allowed choices are write-back, write-through, direct; see sanlet serve --help",
  ],
  ["serve missing.img", "sanlet: missing.img: no such file; --size 10G would create it"],
  ["serve a.img --config b.yaml", "sanlet: IMAGE can't stand beside --config: the file says what is served"],
  [
    "serve --config b.yaml --read-only",
    "sanlet: --read-only can't stand beside --config: the file says what is served",
  ],
  ["serve --config missing.yaml", "sanlet: cannot read missing.yaml: there is no such file"],
  ["info", "sanlet: missing required argument 'url'; see sanlet info --help"],
  [
    "info 127.0.0.1/disk",
    'sanlet: iscsi://127.0.0.1/disk: "disk" is no iSCSI name (iqn., eui. or naa.); the form is iscsi://[user[%password]@]host[:port]/target-iqn/lun[?option=value&...]',
  ],
  ["copy a.img", "sanlet: missing required argument 'dst'; see sanlet copy --help"],
  [
    "copy a.img b.img c.img",
    "sanlet: too many arguments for 'copy'. Expected 2 arguments but got 3; see sanlet copy --help",
  ],
  ["copy a.img b.img --piece 1000", "sanlet: --piece must be a multiple of 4096 bytes"],
  [
    "bench iscsi://h/iqn.2026-01.org.example:t/0 --depth 0",
    "sanlet: option '--depth <n>' argument '0' is invalid. Expected a whole number from 1 to 128; see sanlet bench --help",
  ],
  [
    "bench iscsi://h/iqn.2026-01.org.example:t/0 --duration soon",
    "sanlet: option '--duration <time>' argument 'soon' is invalid. Expected a duration such as 10s, 500ms or 2m, of at most a day; see sanlet bench --help",
  ],
  ["check-config", "sanlet: name a FILE to check, or ask for the --schema"],
]

test("wrong arguments are told in one line, with exit code 2", async (t) => {
  const cli = new Cli(t)
  for (const [args, line] of wrong) {
    const { exitCode, out, err } = await cli.run(...args.split(" "))
    assert.equal(err, `${line}\n`, args)
    assert.equal(exitCode, 2, args)
    assert.equal(out, "", args)
  }
})

describe("help", () => {
  const commands = ["serve", "discover", "ls", "info", "copy", "bench", "check-config"]

  test("names every command, the exit codes and the URLs' form", async (t) => {
    const { exitCode, out } = await new Cli(t).run("--help")
    assert.equal(exitCode, 0)
    for (const name of commands) assert.match(out, new RegExp(`^  ${name} `, "m"))
    assert.match(out, /Exit codes: 0 success, 1 it failed, 2 wrong arguments or configuration/)
    assert.match(out, /iscsi:\/\/\[user\[%secret\]@\]host/)
  })

  test("of every command has examples that begin with the command", async (t) => {
    for (const name of commands) {
      const { exitCode, out } = await new Cli(t).run(name, "--help")
      assert.equal(exitCode, 0)
      assert.match(out, new RegExp(`\nExamples:\n  sanlet ${name}`))
      assert.ok(out.split("\n").every((line) => line.length <= 120))
    }
  })

  test("without a command the help is shown, and nothing was done", async (t) => {
    const { exitCode, err } = await new Cli(t).run()
    assert.equal(exitCode, 2)
    assert.match(err, /^Usage: sanlet/)
  })

  test("the version is that of the package", async (t) => {
    const { out } = await new Cli(t).run("--version")
    const manifest = JSON.parse(fs.readFileSync("package.json", "utf8")) as { version: string }
    assert.equal(out, `${manifest.version}\n`)
  })
})

describe("check-config", () => {
  const good = `portals: [{ listen: "127.0.0.1:3260" }, { listen: "[::1]:3260" }]
targets:
  - name: iqn.2026-01.org.example:disks
    chap: { users: [{ name: alice, secret: "0123456789abcd" }] }
    luns:
      - { lun: 0, device: { type: file, path: a.img, size: 10G } }
      - { lun: 1, device: { type: readonly, on: { type: memory, size: 1M } } }
`

  test("says what a right file serves", async (t) => {
    const cli = new Cli(t)
    fs.writeFileSync(cli.path("san.yaml"), good)
    const { exitCode, out } = await cli.run("check-config", cli.path("san.yaml"))
    assert.equal(exitCode, 0)
    const image = cli.path("a.img")
    assert.deepEqual(out.split("\n"), [
      `${cli.path("san.yaml")}: ok, 1 target, 2 LUNs, on 127.0.0.1:3260 and [::1]:3260`,
      "",
      `TARGET                         LUN  ${"DEVICE".padEnd(image.length + 8)}  LOGIN`,
      `iqn.2026-01.org.example:disks    0  ${image}, 10 GiB  CHAP`,
      "                                 1  readonly(memory, 1 MiB)",
      "",
    ])
  })

  test("tells all errors of a wrong one, with exit code 2", async (t) => {
    const cli = new Cli(t)
    const path = cli.path("san.yaml")
    fs.writeFileSync(path, good.replace("alice, secret", "alice, sceret"))
    for (const args of [
      ["check-config", path],
      ["serve", "--config", path],
    ]) {
      const { exitCode, out, err } = await cli.run(...args)
      assert.equal(exitCode, 2)
      assert.equal(out, "")
      assert.deepEqual(err.split("\n"), [
        `${path}:4:21: targets[0].chap.users[0]: expected exactly one of secret, secretFile, secretEnv, found none`,
        `${path}:4:36: targets[0].chap.users[0].sceret: unknown key "sceret"; did you mean "secret"?`,
        "",
      ])
    }
  })

  test("--schema prints a JSON Schema", async (t) => {
    const { out } = await new Cli(t).run("check-config", "--schema")
    const schema = JSON.parse(out) as { $schema: string; required: string[]; $defs: object }
    assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema")
    assert.deepEqual(schema.required, ["targets"])
    assert.deepEqual(Object.keys(schema.$defs), ["device"])
  })
})
