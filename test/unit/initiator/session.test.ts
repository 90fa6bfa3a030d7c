import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { Initiator, type ScsiRequest } from "../../../src/initiator/index.ts"
import { initiatorKeyPreferences, targetKeyPreferences } from "../../../src/iscsi/login/index.ts"
import { AsyncEvent, LoginStatus, TaskManagementFunction } from "../../../src/iscsi/spec/index.ts"
import { encodePdu, Opcode, TaskManagementResponse } from "../../../src/iscsi/pdu/index.ts"
import { Asc, encodeSense, SenseKey } from "../../../src/scsi/spec/sense.ts"
import { codeOf, openSession, outcome, TARGET } from "./helpers.ts"
import { ScriptedTarget } from "./scripted-target.ts"

const NO_TAG = 0xffffffff
const write = (blocks: number): ScsiRequest => ({
  lun: 0,
  cdb: Uint8Array.of(0x2a, 0, 0, 0, 0, 0, 0, 0, blocks, 0),
  dataOut: new Uint8Array(blocks * 512).fill(0x5a),
})
const ready: ScsiRequest = { lun: 0, cdb: new Uint8Array(6) }
const granting = (target: ScriptedTarget, keys: Partial<typeof targetKeyPreferences>) => {
  target.grant = () => ({ kind: "granted", keys: { ...targetKeyPreferences, ...keys }, portalGroupTag: 1 })
}

describe("commands of a session", () => {
  it("number themselves, and wait outside of the window", async () => {
    const target = new ScriptedTarget()
    target.windowCommands = 3
    target.verdict = () => "hold"
    const { session } = await openSession(target)
    const all = Promise.all(Array.from({ length: 7 }, () => session.execute(ready)))
    await target.clock.advance(100)
    assert.deepEqual(
      target.commands.map(({ cmdSn }) => cmdSn),
      [1, 2, 3],
    )
    assert.equal(new Set(target.commands.map(({ tag }) => tag)).size, 3)
    // Each response opens the window by one.
    for (let i = 0; i < 7; i++) {
      target.connection.respond(target.commands[i]!, 0)
      await target.clock.advance(10)
    }
    const results = await target.run(all)
    assert.equal(results.length, 7)
    assert.deepEqual(
      target.commands.map(({ cmdSn }) => cmdSn),
      [1, 2, 3, 4, 5, 6, 7],
    )
    // What the last request acknowledged: all responses before it.
    assert.equal(target.commands[6]!.header["expStatSn"], target.connection.statSn - 3)
  })

  it("are no more at once than the queue depth", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    const { session } = await openSession(target, { queueDepth: 2 })
    const all = Promise.all(Array.from({ length: 3 }, () => session.execute(ready)))
    await target.clock.advance(50)
    assert.equal(target.commands.length, 2)
    target.connection.respond(target.commands[0]!, 0)
    await target.clock.advance(50)
    assert.equal(target.commands.length, 3)
    for (const command of target.commands.slice(1)) target.connection.respond(command, 0)
    await target.run(all)
  })

  it("carry immediate and unsolicited data as negotiated", async () => {
    for (const [initialR2T, immediateData, bytes, final, immediateBytes, unsolicited] of [
      [true, true, 512, true, 512, []],
      [true, true, 8192, true, 1024, []],
      [true, false, 8192, true, 0, []],
      [false, true, 512, true, 512, []],
      [false, true, 8192, false, 1024, [1024, 1024, 1024]],
      [false, false, 3072, false, 0, [1024, 1024, 1024]],
    ] as const) {
      const target = new ScriptedTarget()
      granting(target, { initialR2T, immediateData, firstBurstLength: 4096, maxRecvDataSegmentLength: 1024 })
      target.verdict = () => "hold"
      const keys = { ...initiatorKeyPreferences, initialR2T, immediateData }
      const { session } = await openSession(target, { keys })
      const done = session.execute(write(bytes / 512))
      await target.clock.advance(100)
      const { header, immediate, tag } = target.commands[0]!
      const label = JSON.stringify({ initialR2T, immediateData, bytes })
      assert.equal(header["write"], true, label)
      assert.equal(header["expectedDataTransferLength"], bytes, label)
      assert.equal(header["final"], final, label)
      assert.equal(immediate.length, immediateBytes, label)
      const sent = target.connection.requests.filter(({ opcode }) => opcode === Opcode.dataOut)
      assert.deepEqual(
        sent.map((pdu) => pdu["dataSegmentBytes"]),
        unsolicited,
        label,
      )
      sent.forEach((pdu, i) => {
        assert.equal(pdu["initiatorTaskTag"], tag, label)
        assert.equal(pdu["targetTransferTag"], NO_TAG, label)
        assert.equal(pdu["dataSn"], i, label)
        assert.equal(pdu["bufferOffset"], immediateBytes + i * 1024, label)
        assert.equal(pdu["final"], i === sent.length - 1, label)
      })
      target.connection.respond(target.commands[0]!, 0)
      const result = await target.run(done)
      assert.equal(result.dataOutBytes, bytes, label)
    }
  })

  it("may have long CDBs, and data both ways", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    const { session } = await openSession(target)
    const cdb = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
    const request = { lun: 300, cdb, dataOut: new Uint8Array(512), dataIn: new Uint8Array(1024) }
    const done = session.execute(request)
    await target.clock.advance(50)
    const { header, ahs } = target.commands[0]!
    assert.deepEqual(header["cdb"], cdb.subarray(0, 16))
    assert.deepEqual([...(header["lun"] as Uint8Array)], [0x41, 0x2c, 0, 0, 0, 0, 0, 0])
    assert.equal(header["read"], true)
    assert.equal(header["write"], true)
    assert.equal(header["expectedDataTransferLength"], 512)
    assert.deepEqual([...ahs.subarray(0, 4)], [0, 17, 1, 0])
    assert.deepEqual(ahs.subarray(4, 20), cdb.subarray(16))
    assert.deepEqual([...ahs.subarray(20)], [0, 5, 2, 0, 0, 0, 4, 0])
    target.connection.respond(target.commands[0]!, 0)
    await target.run(done)
  })

  it("tell status, sense and residuals", async () => {
    const target = new ScriptedTarget()
    const sense = { key: SenseKey.mediumError, asc: Asc.unrecoveredReadError, detail: { information: 7 } }
    target.verdict = () => ({ status: 2, sense })
    const { session } = await openSession(target)
    const failed = await target.run(session.execute(ready))
    assert.equal(failed.status, 2)
    assert.deepEqual(failed.sense, sense)
    assert.deepEqual(failed.senseData, encodeSense(sense, "fixed"))
    target.verdict = () => ({ dataIn: new Uint8Array(100).fill(7) })
    const dataIn = new Uint8Array(512)
    const short = await target.run(session.execute({ ...ready, dataIn }))
    assert.equal(short.dataInBytes, 100)
    assert.equal(dataIn[99], 7)
  })

  it("fail when rejected, or when the target fails", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    const { session } = await openSession(target)
    const rejected = outcome(session.execute(ready))
    const failed = outcome(session.execute(ready))
    await target.clock.advance(50)
    const header = new Uint8Array(48)
    header[0] = Opcode.scsiCommand
    new DataView(header.buffer).setUint32(16, target.commands[0]!.tag)
    target.connection.reject(0x09, header)
    target.connection.respond(target.commands[1]!, 0, undefined, { response: 1 })
    assert.equal(codeOf(await target.run(rejected)), "ERR_REJECTED")
    assert.equal(codeOf(await target.run(failed)), "ERR_TARGET_FAILURE")
    assert.equal(session.state, "open")
  })
})

describe("aborting", () => {
  it("waits until the target has let go", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    target.request = (_connection, { opcode }) => opcode === Opcode.taskManagementRequest
    const { session } = await openSession(target)
    const abort = new AbortController()
    let ended: unknown
    const done = outcome(session.execute({ ...ready, signal: abort.signal })).then((how) => (ended = how))
    await target.clock.advance(50)
    abort.abort(new Error("enough"))
    await target.clock.advance(500)
    assert.equal(ended, undefined)
    const request = target.connection.requests.find(({ opcode }) => opcode === Opcode.taskManagementRequest)!
    assert.equal(request["function"], TaskManagementFunction.abortTask)
    assert.equal(request["immediate"], true)
    assert.equal(request["referencedTaskTag"], target.commands[0]!.tag)
    assert.equal(request["refCmdSn"], target.commands[0]!.cmdSn)
    const response = { final: true, initiatorTaskTag: request["initiatorTaskTag"] as number }
    target.connection.send(encodePdu(TaskManagementResponse, response))
    await target.run(done)
    assert.match(String(ended), /enough/)
  })

  it("of one that hasn't left is quiet", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    const { session } = await openSession(target, { queueDepth: 1 })
    const first = session.execute(ready)
    const abort = new AbortController()
    const second = outcome(session.execute({ ...ready, signal: abort.signal }))
    await target.clock.advance(50)
    abort.abort(new Error("enough"))
    assert.match(String(await target.run(second)), /enough/)
    target.connection.respond(target.commands[0]!, 0)
    await target.run(first)
    assert.equal(target.commands.length, 1)
    assert.equal(target.connection.requests.length, 0)
  })

  it("ends with the response where the target won't abort", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    target.request = (connection, header) => {
      if (header["opcode"] !== Opcode.taskManagementRequest) return false
      const tag = header["initiatorTaskTag"] as number
      connection.send(encodePdu(TaskManagementResponse, { final: true, initiatorTaskTag: tag, response: 5 }))
      return true
    }
    const { session } = await openSession(target)
    const timedOut = outcome(session.execute({ ...ready, timeoutMs: 100 }))
    await target.clock.advance(2000)
    target.connection.respond(target.commands[0]!, 0)
    assert.equal(codeOf(await target.run(timedOut)), "ERR_COMMAND_TIMEOUT")
    assert.equal(target.connections.length, 1)
  })

  it("drops the connection when the target neither aborts nor answers", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    target.request = (connection, header) => {
      if (header["opcode"] !== Opcode.taskManagementRequest) return false
      const tag = header["initiatorTaskTag"] as number
      connection.send(
        encodePdu(TaskManagementResponse, { final: true, initiatorTaskTag: tag, response: 255 }),
      )
      return true
    }
    const { session } = await openSession(target)
    const timedOut = outcome(session.execute({ ...ready, timeoutMs: 100 }))
    assert.equal(codeOf(await target.run(timedOut)), "ERR_COMMAND_TIMEOUT")
    await target.until("it is back", () => session.state === "open" && target.connections.length === 2)
  })

  it("drops the connection when nobody answers", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    target.request = (_connection, { opcode }) => opcode === Opcode.taskManagementRequest
    const { session } = await openSession(target)
    const timedOut = outcome(session.execute({ ...ready, timeoutMs: 100 }))
    assert.equal(codeOf(await target.run(timedOut)), "ERR_COMMAND_TIMEOUT")
    await target.until("it is back", () => session.state === "open" && target.connections.length === 2)
  })

  it("hears one signal for any number of commands", async () => {
    const target = new ScriptedTarget()
    const { session } = await openSession(target)
    const abort = new AbortController()
    let listeners = 0
    const add = abort.signal.addEventListener.bind(abort.signal)
    abort.signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++
      add(...args)
    }
    const commands = Array.from({ length: 50 }, () => session.execute({ ...ready, signal: abort.signal }))
    await target.run(Promise.all(commands))
    assert.equal(listeners, 1)
  })
})

describe("task management", () => {
  it("ends the commands it is about", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    const { session } = await openSession(target)
    const zero = outcome(session.execute(ready))
    const one = session.execute({ ...ready, lun: 1 })
    await target.clock.advance(50)
    await target.run(session.resetLogicalUnit(0))
    assert.equal(codeOf(await target.run(zero)), "ERR_TASK_ABORTED")
    target.connection.respond(target.commands[1]!, 0)
    await target.run(one)
    await target.run(session.resetTarget())
    const functions = target.connection.requests.map((request) => request["function"])
    assert.deepEqual(functions, [
      TaskManagementFunction.logicalUnitReset,
      TaskManagementFunction.targetWarmReset,
    ])
  })

  it("tells when the target won't", async () => {
    const target = new ScriptedTarget()
    target.request = (connection, header) => {
      if (header["opcode"] !== Opcode.taskManagementRequest) return false
      const tag = header["initiatorTaskTag"] as number
      connection.send(encodePdu(TaskManagementResponse, { final: true, initiatorTaskTag: tag, response: 2 }))
      return true
    }
    const { session } = await openSession(target)
    const refused = (await target.run(outcome(session.clearTaskSet(9)))) as { response: number }
    assert.equal(codeOf(refused), "ERR_TASK_MANAGEMENT")
    assert.equal(refused.response, 2)
  })
})

describe("an idle session", () => {
  it("answers NOP-In as it came", async () => {
    const target = new ScriptedTarget()
    await openSession(target)
    target.connection.ping(77, Uint8Array.of(1, 2, 3))
    await target.clock.advance(50)
    const [answer] = target.connection.requests
    assert.equal(answer?.["opcode"], Opcode.nopOut)
    assert.equal(answer?.["targetTransferTag"], 77)
    assert.equal(answer?.["initiatorTaskTag"], NO_TAG)
    assert.equal(answer?.["immediate"], true)
    assert.equal(answer?.["dataSegmentBytes"], 3)
  })

  it("asks a silent target, and leaves one that doesn't answer", async () => {
    const target = new ScriptedTarget()
    const { session, events } = await openSession(target, { nopIntervalMs: 1000, nopDeadlineMs: 500 })
    await target.clock.advance(10_500)
    const pings = target.connection.requests.filter(({ opcode }) => opcode === Opcode.nopOut).length
    assert.ok(pings >= 5 && pings <= 10, `${pings} pings`)
    assert.equal(target.connections.length, 1)
    target.request = () => true
    await target.until("a second login", () => target.connections.length === 2, 20_000)
    assert.equal(events[0]?.kind, "connection-lost")
    await target.until("it is back", () => session.state === "open")
    assert.equal(target.connections[1]?.login?.isid, target.connections[0]?.login?.isid)
  })
})

describe("Async Messages", () => {
  it("that tell of a logical unit reach the user", async () => {
    const target = new ScriptedTarget()
    const { events } = await openSession(target)
    const sense = { key: SenseKey.unitAttention, asc: Asc.reportedLunsDataHasChanged, detail: {} }
    const encoded = encodeSense(sense, "fixed")
    target.connection.async(AsyncEvent.scsiAsyncEvent, [], Uint8Array.of(0, encoded.length, ...encoded))
    await target.clock.advance(50)
    assert.deepEqual(events, [{ kind: "scsi-event", lun: 0, sense }])
  })

  it("that ask for a logout get one, after what is under way, and a new login", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    const { session, events } = await openSession(target)
    const running = session.execute(ready)
    await target.clock.advance(50)
    const [first] = target.connections
    first!.async(AsyncEvent.logoutRequest, [0, 0, 10])
    await target.clock.advance(50)
    const later = session.execute(ready)
    assert.equal(first!.requests.length, 0, "no logout while something is under way")
    first!.respond(target.commands[0]!, 0)
    await target.run(running)
    await target.until("a second login", () => target.connections.length === 2)
    assert.equal(first!.requests[0]?.["opcode"], Opcode.logoutRequest)
    await target.until("the other command", () => target.commands.length === 2)
    assert.equal(target.commands[1]!.connection, target.connections[1])
    target.connection.respond(target.commands[1]!, 0)
    await target.run(later)
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ["logout-requested", "connection-lost", "reconnected"],
    )
  })

  it("that announce the end have their Time2Wait honoured", async () => {
    const target = new ScriptedTarget()
    await openSession(target)
    const atMs = target.clock.nowMs()
    target.connection.async(AsyncEvent.connectionDrop, [0, 7, 20])
    await target.until("a second login", () => target.connections.length === 2)
    assert.ok(target.clock.nowMs() - atMs >= 7000)
  })

  it("that ask for negotiation get a Text Request", async () => {
    const target = new ScriptedTarget()
    target.request = (connection, header) => {
      if (header["opcode"] === Opcode.textRequest)
        connection.text(header["initiatorTaskTag"] as number, "", true)
      return header["opcode"] === Opcode.textRequest
    }
    await openSession(target)
    target.connection.async(AsyncEvent.negotiationRequest, [0, 0, 3])
    await target.clock.advance(50)
    assert.equal(target.connection.requests[0]?.["opcode"], Opcode.textRequest)
  })
})

describe("login and logout", () => {
  it("follows redirections", async () => {
    const target = new ScriptedTarget()
    const { grant } = target
    target.grant = () => {
      target.grant = grant
      return {
        kind: "refused",
        status: LoginStatus.targetMovedTemporarily,
        reason: "elsewhere",
        targetAddresses: ["10.0.0.2:3260"],
      }
    }
    const { session } = await openSession(target)
    assert.deepEqual(session.portal, { host: "10.0.0.2", port: 3260 })
    target.grant = () => ({
      kind: "refused",
      status: LoginStatus.targetMovedPermanently,
      reason: "in a circle",
      targetAddresses: ["10.0.0.1:3260"],
    })
    await assert.rejects(openSession(target), { code: "ERR_LOGIN_TARGET_MOVED_TEMPORARILY" })
  })

  it("gives up at its deadline, or when told to", async () => {
    const target = new ScriptedTarget()
    target.grant = () => {
      target.network.links[0]!.stall()
      return { kind: "refused", status: LoginStatus.targetError, reason: "never sent" }
    }
    await assert.rejects(openSession(target, { loginDeadlineMs: 2000 }), { code: "ERR_CONNECTION" })
    assert.ok(target.clock.nowMs() >= 2000 && target.clock.nowMs() < 3000)
    const aborted = new Initiator({ services: target.services }).login(
      `iscsi://10.0.0.1/${TARGET}`,
      AbortSignal.abort(new Error("not now")),
    )
    await assert.rejects(target.run(aborted), /not now/)
  })

  it("discovers over several PDUs", async () => {
    const target = new ScriptedTarget()
    const names = Array.from({ length: 300 }, (_, i) => `iqn.2026-01.org.example:disk${i}`)
    const text = names.map((name) => `TargetName=${name}\0TargetAddress=10.0.0.1:3260,1\0`).join("")
    let sent = 0
    target.request = (connection, header, data) => {
      if (header["opcode"] !== Opcode.textRequest) return false
      if (sent === 0) assert.equal(new TextDecoder().decode(data), "SendTargets=All\0")
      else assert.equal(header["targetTransferTag"], 9)
      const piece = text.slice(sent, sent + 4000)
      sent += piece.length
      const final = sent === text.length
      connection.text(header["initiatorTaskTag"] as number, piece, final, final ? NO_TAG : 9)
      return true
    }
    const initiator = new Initiator({ services: target.services, environment: {} })
    const found = await target.run(initiator.discover("iscsi://10.0.0.1"))
    assert.deepEqual(
      found.map(({ name }) => name),
      names,
    )
    assert.equal(target.connection.requests.at(-1)?.["opcode"], Opcode.logoutRequest)
  })

  it("closes by logging out, after what is under way", async () => {
    const target = new ScriptedTarget()
    target.verdict = () => "hold"
    const { session, events } = await openSession(target)
    const running = session.execute(ready)
    await target.clock.advance(50)
    const closed = session.close()
    await target.clock.advance(50)
    assert.equal(target.connection.requests.length, 0)
    assert.equal(codeOf(await target.run(outcome(session.execute(ready)))), "ERR_SESSION_CLOSED")
    target.connection.respond(target.commands[0]!, 0)
    await target.run(running)
    await target.run(closed)
    assert.equal(target.connection.requests[0]?.["opcode"], Opcode.logoutRequest)
    assert.equal(session.state, "closed")
    assert.deepEqual(events, [])
  })
})
