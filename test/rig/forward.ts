/** Lets this process reach an address on the test network: a loopback port here, a helper process over there. */
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { join } from "node:path"
import type { Rig } from "./rig.ts"

/** Runs in the network namespace: everything that comes to a Unix socket goes to HOST:PORT. */
const helper = `
const { createServer, connect } = require("node:net")
const [path, host, port] = process.argv.slice(1)
createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ host, port: Number(port), allowHalfOpen: true })
  for (const [from, to] of [[near, far], [far, near]]) {
    from.pipe(to)
    from.on("error", () => to.destroy())
  }
}).listen(path, () => console.log("listening"))`

export interface Forwarded {
  /** On 127.0.0.1. */
  readonly port: number
  close(): Promise<void>
}

let made = 0

/** Forwards a free loopback port to `host:port` on the rig's network. */
export async function forward(rig: Rig, host: string, port: number): Promise<Forwarded> {
  const path = join(rig.folder, `forward.${++made}`)
  const child = rig.network.spawn(process.execPath, ["-e", helper, path, host, String(port)])
  await once(child.stdout ?? child, "data")
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ path, allowHalfOpen: true })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on("error", () => to.destroy())
      from.on("close", () => sockets.delete(from))
    }
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    server.close()
    child.kill("SIGKILL")
    await once(server, "close")
  }
  return { port: (server.address() as AddressInfo).port, close }
}
