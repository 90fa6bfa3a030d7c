/** A target's datamover with nothing but a test at the other end of its stream. */
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/index.ts"
import { TcpTargetDatamover } from "../../../../src/datamover/tcp/index.ts"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { DataOut, encodePdu, ReadyToTransfer, ScsiResponse } from "../../../../src/iscsi/pdu/index.ts"
import { End } from "../../../suites/datamover-ends.ts"
import { ManualStream, testKeys, unframe } from "./frame.ts"
import type { Digests } from "./frame.ts"

export function makeTarget(keys: Partial<DatamoverKeys> = {}) {
  const stream = new ManualStream()
  const clock = new VirtualClock()
  const budget = new DataBufferBudget(8 * 1024 * 1024)
  const datamover = new TcpTargetDatamover(stream, { clock, budget })
  const end = new End()
  datamover.start(end, end)
  datamover.noticeKeyValues({ ...testKeys, ...keys })
  datamover.enableDatamover()
  return { stream, clock, budget, datamover, end }
}

export type Target = ReturnType<typeof makeTarget>

/** Lets what was sent from outside a receive event leave. */
export const turn = () => new Promise<void>((resolve) => queueMicrotask(resolve))

/** A SCSI Response of status GOOD, unless `more` says otherwise. */
export const response = (tag: number, more: object = {}) =>
  encodePdu(ScsiResponse, {
    final: true,
    initiatorTaskTag: tag,
    statSn: 5,
    expCmdSn: 6,
    maxCmdSn: 7,
    ...more,
  })

/** The PDUs it has sent since the last call. */
export async function sentBy(target: Target, digests: Digests = {}) {
  await turn()
  return unframe(target.stream.written(), digests)
}

export const dataOut = (ttt: number, tag: number, bufferOffset: number, dataSn: number, final: boolean) =>
  encodePdu(DataOut, { final, initiatorTaskTag: tag, targetTransferTag: ttt, bufferOffset, dataSn })

/** Starts getData of `bytes` at 500 for task 7, and gives the R2Ts that go out at once. */
export async function ask(target: Target, bytes = 2000) {
  const into = new Uint8Array(bytes)
  let done = false
  const getting = target.datamover.getData(7, 0x00010000, 0, 500, into).then(() => {
    done = true
  })
  const requests = (await sentBy(target)).map(({ view }) => new ReadyToTransfer(view, 0))
  return { into, getting, requests, isDone: () => done }
}
