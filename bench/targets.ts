/** The targets that are compared, each serving a file of its own on loopback with its own defaults. */
import { type Peer, type PeerOptions, startIstgt, startTgt } from "../test/conformance/peers.ts"
import { run } from "../test/conformance/command.ts"
import { serve } from "../test/conformance/serve.ts"

export interface BenchTarget {
  readonly name: string
  readonly url: string
  stop(): Promise<void>
}

export type StartTarget = (image: string) => Promise<BenchTarget>

const sanlet: StartTarget = async (image) => {
  const served = await serve([image, "--listen", "127.0.0.1:0"])
  const stop = async (): Promise<void> => {
    await served.stop()
  }
  return { name: "sanlet", url: served.url, stop }
}

const peer =
  (start: (options: PeerOptions) => Promise<Peer>): StartTarget =>
  async (image) => {
    const running = await start({ image })
    return { name: running.name, url: running.url, stop: () => running.close() }
  }

export const starts: Readonly<Record<string, StartTarget>> = {
  sanlet,
  tgt: peer(startTgt),
  istgt: peer(startIstgt),
}

/** "tgt 1:1.0.85-1" and the like, for the record. */
export async function versionOf(name: string): Promise<string> {
  if (name === "sanlet") return `sanlet, Node ${process.version}`
  const { code, stdout } = await run("dpkg-query", ["-W", "-f", "${Package} ${Version}", name])
  return code === 0 ? stdout : name
}
