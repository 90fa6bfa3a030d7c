/** The RDMA device is closed under connections that move data. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { SanletError } from "../../../../src/base/errors.ts"
import { encodePdu, LoginRequest, LoginResponse } from "../../../../src/iscsi/pdu/index.ts"
import { defaultKeys, InitiatorEnd, TargetEnd } from "../../../suites/datamover-ends.ts"
import { iserKeys, joinIser, loopbackDevices, virtualIwarpDevices } from "./pairs.ts"

for (const [name, open] of [
  ["the loopback provider", () => loopbackDevices(5)],
  ["iwarp", () => virtualIwarpDevices(5, {})],
] as const) {
  for (const side of ["passive", "active"] as const) {
    test(`the ${side} device is closed under an iSER connection over ${name}`, async () => {
      const devices = open()
      const pair = await joinIser(devices)
      const target = new TargetEnd(pair.target)
      const initiator = new InitiatorEnd(pair.initiator)
      const keys = { ...defaultKeys, ...iserKeys }
      pair.target.start(target, target)
      pair.initiator.start(initiator, initiator)
      const serve = target.onPdu
      target.onPdu = () => {
        target.onPdu = serve
        pair.target.noticeKeyValues(keys)
        pair.target.enableDatamover({ header: encodePdu(LoginResponse, { transit: true }) })
      }
      initiator.onPdu = () => {
        initiator.onPdu = () => {}
        pair.initiator.noticeKeyValues(keys)
        pair.initiator.enableDatamover()
      }
      pair.initiator.sendControl(encodePdu(LoginRequest, { transit: true, currentStage: 1, nextStage: 3 }))
      await pair.until("the login", () => initiator.seen.length === 1)
      for (let tag = 0; tag < 8; tag++) {
        if (tag % 2 === 0) initiator.read(tag, 300_000)
        else initiator.write(tag, 300_000)
      }
      await pair.until("some commands", () => target.seen.length >= 5)
      await devices[side].close()
      await pair.until("word of it", () => target.lost.length === 1 && initiator.lost.length === 1)
      for (const error of [...target.lost, ...initiator.lost]) assert.ok(error instanceof SanletError)
      await pair.until("tasks to settle", () => target.running === 0)
      assert.deepEqual(target.escaped, [])
      await pair.until("memory to come back", () => pair.lentBytes() === 0)
      await pair.settle()
    })
  }
}
