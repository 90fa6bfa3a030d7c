import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import fs from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test, type TestContext } from "node:test"
import { cpuOf, ownCpu, peerProcess, processOf } from "../../../../src/control/bench/process-cpu.ts"

/** A /proc of our own making: sockets by process, and the tables of TCP. */
function fakeProc(
  t: TestContext,
  sockets: Readonly<Record<string, readonly number[]>>,
  tables: Readonly<Record<"tcp" | "tcp6", readonly string[]>>,
): string {
  const proc = fs.mkdtempSync(join(tmpdir(), "sanlet-proc-"))
  t.after(() => fs.rmSync(proc, { recursive: true }))
  for (const [pid, inodes] of Object.entries(sockets)) {
    fs.mkdirSync(join(proc, pid, "fd"), { recursive: true })
    for (const [fd, inode] of inodes.entries())
      fs.symlinkSync(`socket:[${inode}]`, join(proc, pid, "fd", String(fd)))
    fs.writeFileSync(
      join(proc, pid, "stat"),
      `${pid} (a) b (c) S 1 1 1 0 -1 4194560 9 0 0 0 250 50 7 7 20 0 11 0`,
    )
  }
  fs.mkdirSync(join(proc, "self", "net"), { recursive: true })
  for (const [name, rows] of Object.entries(tables)) {
    fs.writeFileSync(
      join(proc, "self", "net", name),
      ["  sl  local_address rem_address   st", ...rows, ""].join("\n"),
    )
  }
  return proc
}

const row = (local: string, remote: string, inode: number) =>
  `   0: ${local} ${remote} 01 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 20 4 30 10 -1`

describe("CPU time of processes", () => {
  test("one's own grows with work", () => {
    const before = ownCpu()
    while (ownCpu() - before < 15);
    assert.ok(ownCpu() > before)
  })

  test("another's is read from /proc, whatever its name holds", (t) => {
    const proc = fakeProc(t, { "77": [] }, { tcp: [], tcp6: [] })
    assert.equal(cpuOf(77, proc)?.(), 3000)
    assert.deepEqual(processOf(77, proc), { pid: 77, name: "a) b (c" })
    assert.equal(cpuOf(78, proc), undefined)
    assert.equal(processOf(78, proc), undefined)
  })

  test("agrees with the system's own count for this process", { skip: process.platform !== "linux" }, () => {
    const meter = cpuOf(process.pid)
    assert.ok(meter)
    assert.ok(Math.abs(meter() - ownCpu()) < 200, `${meter()} ms and ${ownCpu()} ms`)
  })
})

describe("the process at the other end", () => {
  const here = "0100007F:A000"
  const there = "0100007F:0CBC" // port 3260

  test("is whoever has the socket that mirrors ours", (t) => {
    const tcp = [row(here, there, 11), row(there, here, 12), row("00000000:0CBC", "00000000:0000", 13)]
    const proc = fakeProc(t, { self: [11], "70": [13], "71": [12] }, { tcp, tcp6: [] })
    assert.deepEqual(peerProcess(3260, proc), { pid: 71, name: "a) b (c" })
    assert.equal(peerProcess(3261, proc), undefined, "no connection of ours goes there")
  })

  test("is found when it listens on IPv6 for IPv4, too", (t) => {
    const mapped = "0000000000000000FFFF0000"
    const tcp6 = [row(`${mapped}${there}`, `${mapped}${here}`, 12)]
    const proc = fakeProc(t, { self: [11], "71": [12] }, { tcp: [row(here, there, 11)], tcp6 })
    assert.equal(peerProcess(3260, proc)?.pid, 71)
  })

  test("is not found elsewhere, nor when it may not be looked at, nor when it is this one", (t) => {
    const tcp = [row(here, there, 11), row(there, here, 12)]
    assert.equal(
      peerProcess(3260, fakeProc(t, { self: [11] }, { tcp: tcp.slice(0, 1), tcp6: [] })),
      undefined,
    )
    assert.equal(peerProcess(3260, fakeProc(t, { self: [11], "71": [] }, { tcp, tcp6: [] })), undefined)
    assert.equal(peerProcess(3260, fakeProc(t, { self: [11, 12] }, { tcp, tcp6: [] })), undefined)
    assert.equal(peerProcess(3260, "/nowhere"), undefined)
  })

  test("is a child that we talk to", { skip: process.platform !== "linux" }, async (t) => {
    const code = `require("net").createServer((s) => s.resume()).listen(0, "127.0.0.1", function () { console.log(this.address().port) })`
    const child = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] })
    t.after(() => child.kill("SIGKILL"))
    const [line] = (await once(child.stdout, "data")) as [Buffer]
    const port = Number(line.toString())
    const socket = connect(port, "127.0.0.1")
    t.after(() => socket.destroy())
    await once(socket, "connect")
    const deadline = performance.now() + 5000
    while (peerProcess(port) === undefined && performance.now() < deadline) await new Promise(setImmediate)
    assert.equal(peerProcess(port)?.pid, child.pid)
  })
})
