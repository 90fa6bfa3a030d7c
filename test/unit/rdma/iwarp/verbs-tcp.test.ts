import { IwarpDevice } from "../../../../src/rdma/iwarp/index.ts"
import { verbsSuite } from "../../../suites/verbs.ts"
import type { VerbsPair, VerbsSubject } from "../../../suites/verbs.ts"
import type { IwarpOptions } from "../../../../src/rdma/iwarp/index.ts"

const TOO_LONG_MS = 20_000
/** A busy machine takes its time. */
const REST_MS = 50

/** Two devices over the system's own TCP. */
const subject = (name: string, options: IwarpOptions): VerbsSubject => ({
  name,
  open: () => {
    const active = new IwarpDevice(options)
    const passive = new IwarpDevice(options)
    const pair: VerbsPair = {
      active,
      passive,
      host: "127.0.0.1",
      until: async (what, done) => {
        const end = performance.now() + TOO_LONG_MS
        while (!done()) {
          if (performance.now() > end) throw new Error(`waited in vain for ${what}`)
          await new Promise((resolve) => setImmediate(resolve))
        }
      },
      rest: () => new Promise((resolve) => setTimeout(resolve, REST_MS)),
      dispose: async () => {
        await active.close()
        await passive.close()
      },
    }
    return Promise.resolve(pair)
  },
})

verbsSuite(subject("iwarp over TCP", {}), [1])
verbsSuite(subject("iwarp over TCP without CRC", { crc: false }), [2])
