import type { SimLink, SimNetwork } from "../../src/base/sim-network.ts"
import type { SimStream } from "../../src/base/sim-stream.ts"

/** More than MPA's frames have, which no CRC covers: iSER's login follows them. */
const FRAMES_BYTES_MAX = 80
const MPA = 0x4d

/** Knows which connections of a network are RDMA connections whose set-up is over, by what their ends have sent. */
export class MpaLinks {
  readonly #network: SimNetwork
  readonly #sentBytes = new Map<SimStream, number>()

  constructor(network: SimNetwork) {
    this.#network = network
    const { links } = network
    const push = links.push.bind(links)
    links.push = (...added) => {
      for (const { client, server } of added) for (const stream of [client, server]) this.#count(stream)
      return push(...added)
    }
  }

  get established(): SimLink[] {
    return this.#network.links.filter(
      (link) => !link.closed && [link.client, link.server].every((stream) => this.#isOver(stream)),
    )
  }

  #isOver(stream: SimStream): boolean {
    return (this.#sentBytes.get(stream) ?? 0) > FRAMES_BYTES_MAX
  }

  #count(stream: SimStream): void {
    const write = stream.write.bind(stream)
    stream.write = (pieces, sent) => {
      const before = this.#sentBytes.get(stream)
      // Plain iSCSI isn't counted.
      if (before !== undefined || pieces[0]?.[0] === MPA) {
        const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
        this.#sentBytes.set(stream, (before ?? 0) + bytes)
      }
      write(pieces, sent)
    }
  }
}
