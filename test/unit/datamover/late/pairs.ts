/** Datamovers that log in over TCP and turn to iSER, joined back to back. */
import type { ByteStream } from "../../../../src/base/byte-stream.ts"
import { LateInitiatorDatamover, LateTargetDatamover } from "../../../../src/datamover/late.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/index.ts"
import type { IwarpDevice } from "../../../../src/rdma/iwarp/index.ts"
import type { DatamoverPair } from "../../../suites/datamover.ts"
import type { DevicePair } from "../iser/pairs.ts"

export async function joinLate(devices: DevicePair, lateDataEndsConnection = true): Promise<DatamoverPair> {
  const { clock, host, until, settle, stall } = devices
  const passive = devices.passive as IwarpDevice
  const active = devices.active as IwarpDevice
  const budget = new DataBufferBudget(64 * 1024 * 1024)
  let accepted: ByteStream | undefined
  const listener = await passive.network.listen({ host, port: 0 }, (stream) => {
    accepted = stream
  })
  let connected: ByteStream | undefined
  void active.network.connect({ host, port: listener.local.port }).then((stream) => {
    connected = stream
  })
  await until("the connection", () => accepted !== undefined && connected !== undefined)
  const target = new LateTargetDatamover(accepted!, {
    clock,
    budget,
    device: passive,
    adopt: (stream, head, requested, failed) => passive.adopt(stream, head, requested, failed),
  })
  const initiator = new LateInitiatorDatamover(connected!, {
    clock,
    budget,
    device: active,
    connectOver: (stream, options) => active.connectOver(stream, options),
  })
  return {
    target,
    initiator,
    until,
    settle,
    lentBytes: () => budget.takenBytes,
    ...(stall && { stall }),
    systemBuffers: devices.systemBuffers === true,
    lateDataEndsConnection,
    async dispose() {
      stall?.(false)
      target.connectionTerminate()
      initiator.connectionTerminate()
      await listener.close()
      await until("all memory to come back", () => budget.pool.taken <= 1)
      await devices.close()
    },
  }
}
