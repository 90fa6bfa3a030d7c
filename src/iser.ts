import { systemClock } from "./base/clock.ts"
import { nodeNetwork } from "./base/node-network.ts"
import { acceptIser, connectIser } from "./datamover/iser/index.ts"
import { connectIserByDefault, type IserConnector } from "./initiator/iser.ts"
import { IwarpDevice, type IwarpOptions } from "./rdma/iwarp/index.ts"
import { acceptIserByDefault, type IserAcceptor } from "./target/iser.ts"

/** iSER for both roles, as targets and initiators are handed it. */
export interface Iser extends IserAcceptor, IserConnector {}

/** iSER over software iWARP: RDMA without a device for it, over the TCP of `options.network`. */
export const iserOverIwarp = (options: IwarpOptions = {}): Iser => iserOver(new IwarpDevice(options))

/** The same over a device that exists. */
export function iserOver(device: IwarpDevice): Iser {
  return {
    // What RDMA in software does, plain TCP does with fewer headers.
    fasterThanTcp: false,
    accept(stream, head, around, user) {
      device.adopt(
        stream,
        head,
        (request) => void acceptIser(request, { ...around, device }).then(user.accepted, user.failed),
        user.failed,
      )
    },
    connect(portal, { clock, budget, signal, deadlineMs }) {
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
