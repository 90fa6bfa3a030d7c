/**
 * What a read or write of a file in the page cache costs, on the event loop, with and without the C library.
 * Nanoseconds per operation, best of five, and how many of them went to the thread pool.
 *
 *     node --import tsx bench/backstore.ts
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { FileStore } from "../src/backstore/index.ts"
import { type SystemCalls, systemCalls } from "../src/backstore/system-calls.ts"

const KiB = 1024
const FILE_BYTES = 64 * 1024 * KiB
const ROUNDS = 5

export interface BackstoreResult {
  readonly name: string
  readonly lengthBytes: number
  readonly nsPerOperation: number
  /** Of all rounds; 0 when all ended at once. */
  readonly onThreads: number
}

/** Measures reads and writes at scattered places, `bytes` of them for each length (at most 50,000 operations). */
export async function benchBackstore(bytes: number): Promise<BackstoreResult[]> {
  const machine = await systemCalls()
  const results = [...(await benchCalls("with libc", machine, bytes))]
  if (machine.libc) results.push(...(await benchCalls("Node alone", { ...machine, libc: undefined }, bytes)))
  return results
}

async function benchCalls(how: string, system: SystemCalls, bytes: number): Promise<BackstoreResult[]> {
  const directory = mkdtempSync(join(tmpdir(), "sanlet-bench-"))
  const store = await FileStore.open(join(directory, "disk.img"), {
    create: true,
    sizeBytes: FILE_BYTES,
    system,
  })
  try {
    // Small writes first: some kernels keep what came in one large write in large folios, slow to change in part.
    const fill = new Uint8Array(4 * KiB).fill(0x5a)
    for (let at = 0; at < FILE_BYTES; at += fill.length) await store.write(at, fill, false)
    await store.flush()
    const results: BackstoreResult[] = []
    for (const lengthBytes of [4 * KiB, 256 * KiB, 1024 * KiB]) {
      const count = Math.max(1, Math.min(50_000, Math.floor(bytes / lengthBytes)))
      for (const kind of ["read", "write"] as const)
        results.push({
          ...(await measure(store, kind, lengthBytes, count)),
          name: `${kind}, ${how}`,
          lengthBytes,
        })
    }
    return results
  } finally {
    await store.close()
    rmSync(directory, { recursive: true })
  }
}

async function measure(store: FileStore, kind: "read" | "write", lengthBytes: number, count: number) {
  const memory = new Uint8Array(lengthBytes).fill(0xa5)
  const slots = FILE_BYTES / lengthBytes
  let best = Number.POSITIVE_INFINITY
  let onThreads = 0
  for (let round = 0; round < ROUNDS; round++) {
    const startedMs = performance.now()
    for (let i = 0; i < count; i++) {
      const at = (Math.imul(i, 0x9e3779b1) >>> 0) % slots
      const done =
        kind === "read" ? store.read(at * lengthBytes, memory) : store.write(at * lengthBytes, memory, false)
      if (done === undefined) continue
      onThreads++
      await done
    }
    best = Math.min(best, performance.now() - startedMs)
  }
  return { nsPerOperation: (best * 1e6) / count, onThreads }
}

if (process.argv[1] === import.meta.filename) {
  for (const { name, lengthBytes, nsPerOperation, onThreads } of await benchBackstore(256 * 1024 * KiB)) {
    const gigabytes = (lengthBytes / nsPerOperation).toFixed(1)
    const columns = [
      name.padEnd(18),
      `${lengthBytes / KiB} KiB`.padStart(8),
      `${nsPerOperation.toFixed(0)} ns`.padStart(10),
      `${gigabytes} GB/s`.padStart(10),
      `${onThreads} on threads`.padStart(16),
    ]
    console.log(columns.join(" "))
  }
}
