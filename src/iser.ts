import { systemClock } from "./base/clock.ts"
import { nodeNetwork } from "./base/node-network.ts"
import { acceptIser, connectIser } from "./datamover/iser/index.ts"
import { LateInitiatorDatamover, LateTargetDatamover } from "./datamover/late.ts"
import { connectIserByDefault, type IserConnector } from "./initiator/iser.ts"
import type { ConnectionRequest } from "./rdma/verbs/index.ts"
import { IwarpDevice, type IwarpOptions } from "./rdma/iwarp/index.ts"
import { acceptIserByDefault, type IserAcceptor } from "./target/iser.ts"

/** iSER for both roles, as targets and initiators are handed it. */
export interface Iser extends IserAcceptor, IserConnector {}

export interface IserStart {
  /**
   * Connections of ours begin as RFC 7145 §5.1 has it: they log in over TCP, and turn to RDMA behind that. Targets in use
   * know RDMA from the first byte on alone; ours take both. Default: false.
   */
  readonly loginFirst?: boolean
}

/** iSER over software iWARP: RDMA without a device for it, over the TCP of `options.network`. */
export const iserOverIwarp = (options: IwarpOptions & IserStart = {}): Iser =>
  iserOver(new IwarpDevice(options), options)

/** The same over a device that exists. */
export function iserOver(device: IwarpDevice, { loginFirst = false }: IserStart = {}): Iser {
  return {
    // What RDMA in software does, plain TCP does with fewer headers.
    fasterThanTcp: false,
    accept(stream, head, around, user) {
      const failed = (error: Error) => user.failed(error)
      const requested = (request: ConnectionRequest) =>
        void acceptIser(request, { ...around, device }).then((datamover) => user.accepted(datamover), failed)
      device.adopt(stream, head, requested, failed)
    },
    logIn(stream, head, around) {
      const adopt: IwarpDevice["adopt"] = (...what) => device.adopt(...what)
      return new LateTargetDatamover(stream, { ...around, device, head, adopt })
    },
    async connect(portal, { clock, budget, signal, deadlineMs }) {
      if (loginFirst) {
        const stream = await device.network.connect(portal, { signal })
        const turn: IwarpDevice["connectOver"] = (...what) => device.connectOver(...what)
        return new LateInitiatorDatamover(stream, { clock, budget, device, connectOver: turn })
      }
      return connectIser(
        (connection) => device.connect(portal, { ...connection, deadlineMs }),
        { clock, budget, device },
        signal,
      )
    },
  }
}

let ofProcess: Iser | undefined

/** One device serves all of a process; a network or a clock of one's own has one of its own. */
export function iserFor(of: Pick<Required<IwarpOptions>, "network" | "clock" | "random">): Iser {
  if (of.network !== nodeNetwork || of.clock !== systemClock) return iserOverIwarp(of)
  ofProcess ??= iserOverIwarp()
  return ofProcess
}

/** Targets and initiators made from now on have iSER without being told so. */
export function useIser(): void {
  acceptIserByDefault(iserFor)
  connectIserByDefault(iserFor)
}
