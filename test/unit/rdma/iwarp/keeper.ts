/** An inbox's user that keeps what it is given, and a stream to feed it with. */
import assert from "node:assert/strict"
import type { Inbox, InboxUser } from "../../../../src/rdma/iwarp/inbox.ts"
import type { Memory } from "../../../../src/rdma/iwarp/memory-pool.ts"
import { headerBytes } from "../../../../src/rdma/iwarp/wire.ts"

/** Keeps what it is given; long payload it takes straight. */
export class Keeper implements InboxUser {
  readonly ulpdus: Buffer[] = []
  readonly broke: string[] = []
  straight = 0
  takesStraight = true
  #header = Buffer.alloc(0)
  #sink = new Uint8Array(0)

  arrived(memory: Memory, at: number, ulpduBytes: number): boolean {
    this.ulpdus.push(Buffer.from(memory.bytes.subarray(at, at + ulpduBytes)))
    return this.takesStraight
  }

  begins(memory: Memory, at: number, ulpduBytes: number): Uint8Array | undefined {
    if (!this.takesStraight) return undefined
    this.straight++
    const header = headerBytes(memory.view.getUint16(at))
    this.#header = Buffer.from(memory.bytes.subarray(at, at + header))
    this.#sink = new Uint8Array(ulpduBytes - header)
    return this.#sink
  }

  foreseen(_runs: Uint8Array[]): boolean {
    return false
  }

  placed(): void {
    this.ulpdus.push(Buffer.concat([this.#header, this.#sink]))
  }

  broken(why: string): void {
    this.broke.push(why)
  }
}

/** Reads of these lengths, each cut to what is offered; `scattered`: as a stream that can read on at once does it. */
export function feed(inbox: Inbox, bytes: Uint8Array, lengths: () => number, scattered = false): void {
  let at = 0
  while (at < bytes.length) {
    const pieces = (scattered ? inbox.ahead() : undefined) ?? [inbox.buffer()]
    let left = lengths()
    let count = 0
    for (const into of pieces) {
      assert.ok(into.length > 0)
      const part = Math.min(into.length, left, bytes.length - at)
      into.set(bytes.subarray(at, at + part))
      at += part
      left -= part
      count += part
    }
    inbox.received(count)
  }
}
