import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import fs from "node:fs"
import { describe, test, type TestContext } from "node:test"
import { Cli } from "./run-cli.ts"

const MIB = 2 ** 20

describe("serving images", () => {
  test("each is a LUN; discover, ls and info tell of them", async (t) => {
    const cli = new Cli(t)
    const target = "iqn.2026-01.org.example:disks"
    const images = [cli.path("a.img"), cli.path("b.img")]
    const { urls, running } = await cli.serve(t, ...images, "--size", "16M", "--target", target)
    assert.equal(urls.length, 2)
    const portal = urls[0]?.split("/")[2] ?? ""
    assert.deepEqual(
      urls,
      [0, 1].map((lun) => `iscsi://${portal}/${target}/${lun}`),
    )

    const discovered = await cli.run("discover", portal)
    assert.match(discovered.out, new RegExp(`^${target}  ${portal}      1$`, "m"))

    const listed = await cli.run("ls", portal, "--json")
    const { targets } = JSON.parse(listed.out) as { targets: { units: Record<string, unknown>[] }[] }
    const units = targets[0]?.units ?? []
    assert.deepEqual(
      units.map(({ url, sizeBytes, blockBytes }) => ({ url, sizeBytes, blockBytes })),
      urls.map((url) => ({ url, sizeBytes: 16 * MIB, blockBytes: 512 })),
    )
    assert.notEqual(units[0]?.["serial"], units[1]?.["serial"])
    assert.match((await cli.run("ls", urls[1] ?? "")).out, /^ +1 {2}16 MiB +512 {2}rw/m)

    const { out } = await cli.run("info", urls[1] ?? "", "--hex")
    assert.match(out, /size +16 MiB \(16,777,216 bytes\)/)
    assert.match(out, new RegExp(`serial +${String(units[1]?.["serial"])}`))
    assert.match(out, new RegExp(`names +naa\\.3[0-9a-f]{15}`))
    assert.match(out, /83h +Device Identification, \d+ bytes/)
    assert.match(out, /^VPD 80h\n {2}0000 {2}00 80/m)
    assert.match(out, /MaxBurstLength +\d+ \w+/)

    const ended = await running.stop()
    assert.equal(ended.exitCode, 0)
    for (const line of [/info +serving url=/, /logged in .*initiator=/, /logged out .*reason=/, /stopped/]) {
      assert.match(ended.err, line)
    }
  })

  test("without an image there is a disk of one's own, with hints how to use it", async (t) => {
    const cli = new Cli(t)
    const { urls, running } = await cli.serve(t, "--size", "1G")
    const path = cli.path("state/sanlet/disk.img")
    assert.equal(fs.statSync(path).size, 1024 * MIB)
    assert.ok(fs.statSync(path).blocks < 100, "it is sparse")
    const { err } = await running.stop()
    assert.match(err, /LUN 0: 1 GiB in .*disk\.img \(a new, sparse file\)/)
    for (const hint of [
      `iscsiadm -m discovery`,
      `qemu-img info ${urls[0]}`,
      `sanlet info ${urls[0]}`,
      `sanlet info ${urls[0]?.replace("iscsi://", "iser://")}`,
      "Ctrl-C",
    ]) {
      assert.ok(err.includes(hint), hint)
    }
    const again = await cli.serve(t)
    assert.match((await cli.run("ls", again.urls[0] ?? "")).out, /1 GiB/)
    assert.ok(!(await again.running.stop()).err.includes("iscsiadm"), "hints come once")
  })

  test("the identity of an image lasts, and JSON tells it", async (t) => {
    const cli = new Cli(t)
    fs.writeFileSync(cli.path("a.img"), Buffer.alloc(MIB))
    const serials = []
    for (const name of ["a.img", "b.img"]) {
      if (name === "b.img") fs.renameSync(cli.path("a.img"), cli.path("b.img"))
      const running = cli.start([
        "serve",
        cli.path(name),
        "--listen",
        "127.0.0.1:0",
        "--json",
        "--log-level",
        "error",
      ])
      t.after(() => running.stop())
      await waitFor(() => running.out.includes("\n"))
      const { event, serial, naa, sizeBytes } = JSON.parse(running.out) as Record<string, unknown>
      assert.deepEqual([event, sizeBytes, naa], ["ready", MIB, serial])
      serials.push(serial)
      assert.deepEqual(await running.stop(), { exitCode: 0, out: running.out, err: "" })
    }
    assert.equal(serials[0], serials[1])
  })

  test("what can't be served is told in a line, with exit code 1", async (t) => {
    const cli = new Cli(t)
    fs.mkdirSync(cli.path("folder"))
    fs.writeFileSync(cli.path("empty.img"), "")
    fs.writeFileSync(cli.path("a.img"), Buffer.alloc(MIB))
    const { urls } = await cli.serve(t, cli.path("a.img"))
    const taken = urls[0]?.split("/")[2] ?? ""
    const cases: [string[], RegExp][] = [
      [[cli.path("folder")], /folder: is not a regular file$/],
      [[cli.path("empty.img")], /empty\.img: is empty$/],
      [[cli.path("a.img")], /a\.img: in use by another process, or served twice by this one$/],
      [
        [cli.path("b.img"), "--size", "1M", "--listen", taken],
        /can't listen at 127\.0\.0\.1:\d+: the address is in use \(EADDRINUSE\); stop what listens there, or choose another/,
      ],
      [[cli.path("c.img"), "--size", "1M", "--target", "disk"], /"disk" is no iSCSI name/],
    ]
    for (const [args, line] of cases) {
      const { exitCode, out, err } = await cli.run("serve", "--listen", "127.0.0.1:0", ...args)
      assert.match(err, /^sanlet: [^\n]*\n$/)
      assert.match(err.trimEnd(), line)
      assert.equal(out, "")
      assert.ok(exitCode === 1 || exitCode === 2)
    }
  })
})

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe("who may log in", () => {
  const target = "iqn.2026-01.org.example:secret"

  async function serveSecret(t: TestContext): Promise<{ cli: Cli; portal: string; url: string }> {
    const cli = new Cli(t)
    cli.env["ALICE"] = "the secret of alice"
    fs.writeFileSync(
      cli.path("san.yaml"),
      `portals: [{ listen: "127.0.0.1:0" }]
targets:
  - name: ${target}
    chap:
      users: [{ name: alice, secretEnv: ALICE }]
      mutual: { name: target, secret: the secret of the target }
    luns: [{ lun: 5, device: { type: memory, size: 1M }, serial: S-5, vendor: ACME, product: Wonder }]
  - name: iqn.2026-01.org.example:others
    access: { initiators: ["iqn.2026-01.org.example:friend*"] }
    luns: [{ lun: 0, device: { type: "null", size: 1T } }]
`,
    )
    const { urls } = await cli.serve(t, "--config", cli.path("san.yaml"))
    const portal = urls[0]?.split("/")[2] ?? ""
    return { cli, portal, url: `${portal}/${target}/5` }
  }

  test("CHAP, one-way and mutual; secrets never show", async (t) => {
    const { cli, url } = await serveSecret(t)
    for (const login of ["alice%the secret of alice@"]) {
      const { exitCode, out } = await cli.run("info", `iscsi://${login}${url}`)
      assert.equal(exitCode, 0)
      assert.match(out, /serial +S-5/)
      assert.match(out, /vendor +ACME/)
      assert.ok(!out.includes("the secret"))
    }
    cli.env["LIBISCSI_CHAP_USERNAME"] = "alice"
    cli.env["LIBISCSI_CHAP_PASSWORD"] = "the secret of alice"
    cli.env["LIBISCSI_CHAP_TARGET_USERNAME"] = "target"
    cli.env["LIBISCSI_CHAP_TARGET_PASSWORD"] = "the secret of the target"
    assert.equal((await cli.run("info", `iscsi://${url}`)).exitCode, 0)
    cli.env["LIBISCSI_CHAP_TARGET_PASSWORD"] = "another secret"
    assert.equal((await cli.run("info", `iscsi://${url}`)).exitCode, 1)
  })

  test("a wrong secret, or none: one line that says what to do", async (t) => {
    const { cli, url } = await serveSecret(t)
    for (const login of ["", "alice%wrong@", "mallory%the secret of alice@"]) {
      const { exitCode, out, err } = await cli.run("info", `iscsi://${login}${url}`)
      assert.equal(exitCode, 1)
      assert.equal(out, "")
      assert.match(err, /^sanlet: [^\n]*CHAP name and secret in the URL[^\n]*\n$/, err)
      assert.ok(!err.includes("wrong@") && !err.includes("the secret"))
    }
  })

  test("a target one may not use isn't listed; ls says why it can't look into one", async (t) => {
    const { cli, portal } = await serveSecret(t)
    const stranger = await cli.run("ls", portal)
    assert.equal(stranger.exitCode, 1)
    assert.ok(!stranger.out.includes(":others"))
    assert.match(stranger.out, new RegExp(`^${target}\n  \\S.*`, "m"))
    const friend = await cli.run("ls", portal, "--initiator", "iqn.2026-01.org.example:friend-7")
    assert.match(friend.out, /:others\n.*\n +0 +1 TiB/)
  })
})

describe("copying", () => {
  test("file to LUN to file, sparse all the way, verified", async (t) => {
    const cli = new Cli(t)
    const source = Buffer.alloc(24 * MIB)
    randomBytes(3 * MIB).copy(source, 5 * MIB)
    randomBytes(4096).copy(source, 24 * MIB - 4096)
    fs.writeFileSync(cli.path("source.img"), source)
    fs.writeFileSync(cli.path("lun.img"), Buffer.alloc(32 * MIB, 0xee))
    const { urls, running } = await cli.serve(t, cli.path("lun.img"))
    const url = urls[0] ?? ""

    const there = await cli.run("copy", cli.path("source.img"), url, "--verify")
    assert.equal(there.err, "")
    assert.match(
      there.out,
      /^copied 24 MiB \(3 MiB of data, 21 MiB of zeroes\) in \d+\.\d s, .*\/s; verified, both are equal\n$/,
    )
    const back = await cli.run("copy", url, cli.path("back.img"), "--verify", "--json")
    const { totalBytes, equal } = JSON.parse(back.out) as Record<string, unknown>
    assert.deepEqual([totalBytes, equal], [32 * MIB, true])
    const copied = fs.readFileSync(cli.path("back.img"))
    assert.ok(copied.subarray(0, 24 * MIB).equals(source))
    assert.ok(
      copied.subarray(24 * MIB).every((byte) => byte === 0xee),
      "what lies behind is left alone",
    )
    assert.ok(fs.statSync(cli.path("back.img")).blocks * 512 < 13 * MIB, "holes stay holes")
    await running.stop()
    assert.ok(fs.statSync(cli.path("lun.img")).blocks * 512 < 13 * MIB, "zeroes give storage back")
  })

  test("refusals: a file that exists, a LUN too small, a source that isn't there", async (t) => {
    const cli = new Cli(t)
    fs.writeFileSync(cli.path("a.img"), Buffer.alloc(2 * MIB, 1))
    fs.writeFileSync(cli.path("b.img"), Buffer.alloc(MIB, 2))
    const { urls } = await cli.serve(t, cli.path("lun.img"), "--size", "1M")
    const cases: [string[], string][] = [
      [["a.img", "b.img"], `sanlet: ${cli.path("b.img")} exists already; --force overwrites it\n`],
      [
        ["a.img", urls[0] ?? ""],
        `sanlet: ${urls[0]} has 1048576 bytes; ${cli.path("a.img")} needs 2097152\n`,
      ],
      [["c.img", "d.img"], `sanlet: ${cli.path("c.img")}: no such file (ENOENT)\n`],
    ]
    for (const [ends, line] of cases) {
      const [from = "", to = ""] = ends.map((end) => (end.includes(":") ? end : cli.path(end)))
      const { exitCode, err } = await cli.run("copy", from, to)
      assert.deepEqual([exitCode, err], [1, line])
    }
    assert.equal((await cli.run("copy", cli.path("a.img"), cli.path("b.img"), "--force")).exitCode, 0)
    assert.ok(fs.readFileSync(cli.path("b.img")).equals(fs.readFileSync(cli.path("a.img"))))
  })

  test("an interrupted copy leaves no half a file behind, and says so with its exit code", async (t) => {
    const cli = new Cli(t)
    fs.writeFileSync(
      cli.path("slow.yaml"),
      `portals: [{ listen: "127.0.0.1:0" }]
targets:
  - name: iqn.2026-01.org.example:slow
    luns: [{ lun: 0, device: { type: delay, delaysMs: { read: 50 }, on: { type: file, path: full.img } } }]
`,
    )
    fs.writeFileSync(cli.path("full.img"), Buffer.alloc(64 * MIB, 1))
    const { urls } = await cli.serve(t, "--config", cli.path("slow.yaml"))
    const running = cli.start(["copy", urls[0] ?? "", cli.path("half.img")], true)
    await waitFor(() => fs.existsSync(cli.path("half.img")) && running.err.includes("copying"))
    const { exitCode, err } = await running.stop()
    assert.equal(exitCode, 130)
    // oxlint-disable-next-line no-control-regex -- escape sequences are what it is about
    assert.match(err, /\rcopying {2}.*% .* of 64 MiB.*\x1b\[K\r\x1b\[Kinterrupted\n$/s)
    assert.ok(!fs.existsSync(cli.path("half.img")))
  })
})

describe("measuring", () => {
  async function disk(t: TestContext): Promise<{ cli: Cli; url: string }> {
    const cli = new Cli(t)
    const { urls } = await cli.serve(t, cli.path("a.img"), "--size", "8M")
    return { cli, url: urls[0] ?? "" }
  }

  test("reads by default, writes only when told to", async (t) => {
    const { cli, url } = await disk(t)
    const reads = await cli.run("bench", url, "--duration", "200ms", "--depth", "4")
    assert.equal(reads.exitCode, 0)
    assert.match(
      reads.out,
      /^4 KiB random reads, depth 4, 0\.2 s\n\n {5}.*IOPS.*P99\.9.*\nreads +[\d,]+ +[\d.]+ \w+\/s/,
    )
    assert.equal(fs.statSync(cli.path("a.img")).blocks, 0)
    const mixed = await cli.run(
      "bench",
      url,
      "--duration",
      "300ms",
      "--write",
      "50",
      "--block",
      "64k",
      "--json",
    )
    const result = JSON.parse(mixed.out) as Record<string, Record<string, number>>
    assert.equal(result["writePercent"], 50)
    assert.ok((result["reads"]?.["operations"] ?? 0) > 0)
    assert.ok((result["writes"]?.["operations"] ?? 0) > 0)
    assert.ok(fs.statSync(cli.path("a.img")).blocks > 0)
  })

  test("compares transports in turns, as a table, as JSON and as a page of charts", async (t) => {
    const { cli, url } = await disk(t)
    const brief = ["--compare", "tcp,tcp", "--duration", "200ms", "--rounds", "2"]
    const text = await cli.run("bench", url, ...brief, "--block", "4k,64k", "--chart", cli.path("chart.html"))
    assert.equal(text.exitCode, 0, text.err)
    assert.match(
      text.out,
      /^4 KiB random reads, depth 32\n +TCP +TCP \(2\) +to TCP.*\nthroughput +[\d.]+ \w+\/s/,
    )
    assert.match(text.out, /\n64 KiB random reads, depth 8\n/)
    assert.match(text.out, /CPU\/GiB initiator +[\d.]+ m?s/)
    // Both ends are this process: whose time it was can't be told.
    assert.match(text.out, /CPU\/GiB target +not known/)
    assert.match(fs.readFileSync(cli.path("chart.html"), "utf8"), /^<!doctype html>[^]*<\/html>\n$/)
    const json = await cli.run("bench", url, ...brief, "--json", "--target-pid", String(process.pid))
    const { workloads, targetProcess } = JSON.parse(json.out) as {
      workloads: { sides: { label: string; rounds: object[] }[] }[]
      targetProcess: { pid: number }
    }
    assert.equal(workloads.length, 3)
    assert.deepEqual(
      workloads[0]?.sides.map(({ label, rounds }) => [label, rounds.length]),
      [
        ["tcp", 2],
        ["tcp (2)", 2],
      ],
    )
    assert.equal(targetProcess.pid, process.pid)
  })

  test("options of a comparison that can't be used are refused", async (t) => {
    const { cli, url } = await disk(t)
    for (const [args, exitCode, message] of [
      [["--compare", "tcp"], 2, /two to four of tcp and iser/],
      [["--compare", "tcp,udp"], 2, /two to four of tcp and iser/],
      [["--chart", "x.html"], 2, /belong to --compare/],
      [["--block", "4k,8k"], 2, /belong to --compare/],
      [["--compare", "tcp,tcp", "--target-pid", "2147483647"], 2, /no such process/],
    ] as const) {
      const result = await cli.run("bench", url, "--duration", "100ms", ...args)
      assert.equal(result.exitCode, exitCode, result.err)
      assert.match(result.err, message)
    }
  })
})

describe("the program itself", () => {
  function launch(cli: Cli, ...args: string[]) {
    const env = { ...process.env, ...cli.env }
    const child = spawn(process.execPath, ["--import", "tsx", "cli/main.ts", ...args], { env })
    let out = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text
    })
    let err = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text
    })
    const ended = new Promise<number | string | null>((resolve) => {
      child.on("exit", (code, signal) => resolve(code ?? signal))
    })
    return { child, ended, out: () => out, err: () => err }
  }

  test("SIGTERM ends it in order, with exit code 0 and everything flushed", async (t) => {
    const cli = new Cli(t)
    const { child, ended, out } = launch(cli, "serve", "--size", "8M", "--listen", "127.0.0.1:0")
    t.after(() => child.kill("SIGKILL"))
    await waitFor(() => out().includes("ready "))
    child.kill("SIGTERM")
    assert.equal(await ended, 0)
    assert.match(
      out(),
      /^ready iscsi:\/\/127\.0\.0\.1:\d+\/iqn\.2026-01\.io\.github\.sanlet:[^/\n]+\.disk\/0\n$/,
    )
  })

  test("a second signal ends it at once, without waiting for an initiator that hangs", async (t) => {
    const cli = new Cli(t)
    const server = launch(cli, "serve", "--size", "8M", "--listen", "127.0.0.1:0")
    t.after(() => server.child.kill("SIGKILL"))
    await waitFor(() => server.out().includes("ready "))
    const initiator = launch(cli, "bench", server.out().trim().split(" ")[1] ?? "", "--duration", "1h")
    t.after(() => initiator.child.kill("SIGKILL"))
    await waitFor(() => server.err().includes("logged in"))
    initiator.child.kill("SIGSTOP")
    server.child.kill("SIGINT")
    await waitFor(() => server.err().includes("stopping"))
    server.child.kill("SIGINT")
    assert.equal(await server.ended, 130)
    assert.ok(!server.err().includes("stopped"))
  })
})
