/**
 * Runs commands in a guest over virtio-serial ports, with the line protocol of guest/agent.c: no network, no ssh. A
 * port runs one command at a time; what comes while all are busy waits.
 */
import { connect, type Socket } from "node:net"

export interface Outcome {
  /** Exit code; 128 + signal when killed, 124 when `deadlineMs` passed. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly stdin?: Uint8Array
  /** Default two minutes. */
  readonly deadlineMs?: number
}

/** Bytes of payload per line: far below the agent's longest line, a multiple of three for base64. */
const CHUNK_BYTES = 12_288
/** Lines of stdin sent ahead of the agent's acknowledgement. */
const STDIN_LINES_AHEAD = 8
export const TIMED_OUT = 124
/** The agent may open its port after we have written: ask again until it answers. */
const HELLO_EVERY_MS = 300

class ControlPort {
  readonly #socket: Socket
  readonly #lines: string[] = []
  #rest = ""
  #serial = 0
  #arrived = (): void => {}
  #gone = false

  constructor(path: string) {
    this.#socket = connect(path).setEncoding("latin1")
    this.#socket.on("data", (text: string) => {
      const lines = (this.#rest + text).split("\n")
      this.#rest = lines.pop() ?? ""
      this.#lines.push(...lines)
      this.#arrived()
    })
    this.#socket.on("error", () => {})
    this.#socket.on("close", () => {
      this.#gone = true
      this.#arrived()
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  /** The next line of session `sid`, split in kind and payload. */
  async #line(sid: string): Promise<readonly [kind: string, payload: string]> {
    for (;;) {
      const [kind, session, payload] = this.#lines.shift()?.split(" ") ?? []
      if (kind !== undefined && session === sid) return [kind, payload ?? ""]
      if (kind !== undefined) continue // of a session before
      if (this.#gone) throw new Error("the guest went away")
      await new Promise<void>((resolve) => {
        this.#arrived = resolve
      })
    }
  }

  #send(line: string): void {
    this.#socket.write(`${line}\n`)
  }

  /** Opens a session, which ends whatever ran on this port before; waits while the guest boots. */
  async open(): Promise<string> {
    const sid = `s${++this.#serial}`
    const hello = (): void => this.#send(`\nH ${sid}`)
    hello()
    const again = setInterval(hello, HELLO_EVERY_MS)
    try {
      await this.#line(sid)
    } finally {
      clearInterval(again)
    }
    return sid
  }

  async run(command: string, { stdin, deadlineMs = 120_000 }: RunOptions): Promise<Outcome> {
    const sid = await this.open()
    for (const piece of pieces(Buffer.from(command))) this.#send(`C ${sid} ${piece}`)
    this.#send(`R ${sid}`)
    const late = setTimeout(() => {
      this.#send(`K ${sid} 9`)
      this.#lines.push(`x ${sid} ${TIMED_OUT}`)
      this.#arrived()
    }, deadlineMs)
    try {
      return await this.#follow(sid, stdin ? pieces(Buffer.from(stdin)) : [])
    } finally {
      clearTimeout(late)
    }
  }

  /** Feeds stdin and gathers output until the command ends. */
  async #follow(sid: string, stdin: string[]): Promise<Outcome> {
    const output: Record<string, Buffer[]> = { o: [], e: [] }
    const feed = (): void => {
      const piece = stdin.shift()
      if (piece !== undefined) this.#send(`I ${sid} ${piece}`)
      else this.#send(`E ${sid}`)
    }
    for (let ahead = Math.min(STDIN_LINES_AHEAD, stdin.length + 1); ahead > 0; ahead--) feed()
    const text = (kind: string): string => Buffer.concat(output[kind] ?? []).toString()
    for (;;) {
      const [kind, payload] = await this.#line(sid)
      if (kind === "x") return { code: Number(payload), stdout: text("o"), stderr: text("e") }
      if (kind === "a") feed()
      else output[kind]?.push(Buffer.from(payload, "base64"))
    }
  }
}

function pieces(bytes: Buffer): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    lines.push(bytes.subarray(at, at + CHUNK_BYTES).toString("base64"))
  }
  return lines
}

/** All control ports of one guest. */
export class Control {
  readonly #idle: ControlPort[]
  readonly #all: readonly ControlPort[]
  readonly #waiting: ((port: ControlPort) => void)[] = []

  private constructor(ports: readonly ControlPort[]) {
    this.#all = ports
    this.#idle = [...ports]
  }

  /** Connects to the ports' sockets; ready when the guest has booted and answers on each. */
  static async open(paths: readonly string[]): Promise<Control> {
    const ports = paths.map((path) => new ControlPort(path))
    await Promise.all(ports.map((port) => port.open()))
    return new Control(ports)
  }

  async run(command: string, options: RunOptions): Promise<Outcome> {
    const port =
      this.#idle.pop() ?? (await new Promise<ControlPort>((resolve) => this.#waiting.push(resolve)))
    try {
      return await port.run(command, options)
    } finally {
      const next = this.#waiting.shift()
      if (next) next(port)
      else this.#idle.push(port)
    }
  }

  close(): void {
    for (const port of this.#all) port.close()
  }
}
