import { createServer, Socket } from "node:net"
import type { AddressInfo } from "node:net"
import type { ByteStream, Listener, Network } from "./byte-stream.ts"
import { hostAndPort, networkError } from "./network-error.ts"
import { NodeByteStream, plainAddress } from "./node-byte-stream.ts"
import { type SocketCalls, socketCalls } from "./socket-calls.ts"

async function connect(
  to: { host: string; port: number },
  options: { signal?: AbortSignal } = {},
): Promise<ByteStream> {
  return connectWith(await socketCalls(), to, options)
}

function connectWith(
  calls: SocketCalls | undefined,
  to: { host: string; port: number },
  { signal }: { signal?: AbortSignal },
): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error)
    const socket = new Socket({ allowHalfOpen: true })
    // Nothing may be read before the stream's user has said where to.
    socket.pause()
    const onAbort = () => {
      socket.destroy()
      reject(signal?.reason as Error)
    }
    const onError = (error: Error) => {
      signal?.removeEventListener("abort", onAbort)
      socket.destroy()
      reject(networkError(`can't connect to ${hostAndPort(to.host, to.port)}`, error))
    }
    signal?.addEventListener("abort", onAbort, { once: true })
    socket.on("error", onError)
    socket.connect({ host: to.host, port: to.port, noDelay: true }, () => {
      signal?.removeEventListener("abort", onAbort)
      socket.off("error", onError)
      resolve(new NodeByteStream(socket, calls))
    })
  })
}

async function listen(
  at: { host: string; port: number },
  accept: (stream: ByteStream) => void,
): Promise<Listener> {
  return listenWith(await socketCalls(), at, accept)
}

function listenWith(
  calls: SocketCalls | undefined,
  at: { host: string; port: number },
  accept: (stream: ByteStream) => void,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
      // A peer that has gone before it was accepted has no address any more.
      if (socket.remoteAddress === undefined) socket.destroy()
      else accept(new NodeByteStream(socket, calls))
    })
    const onError = (error: Error) =>
      reject(networkError(`can't listen at ${hostAndPort(at.host, at.port)}`, error))
    server.once("error", onError)
    server.listen({ host: at.host, port: at.port, backlog: 1024 }, () => {
      server.off("error", onError)
      // Out of file descriptors, say: that connection is lost, the listener lives on.
      server.on("error", () => {})
      const { address, port } = server.address() as AddressInfo
      resolve({
        local: { address: plainAddress(address), port },
        close: () => {
          // The port is free at once; Node's own callback would wait for the streams that live on.
          server.close()
          return Promise.resolve()
        },
      })
    })
  })
}

/** The operating system's TCP, IPv4 and IPv6. */
export const nodeNetwork: Network = { connect, listen }
