/** What the targets are measured with: real clients, both of them libiscsi inside. */
import { run } from "../test/conformance/command.ts"

export interface Workload {
  readonly name: string
  /** Bytes of one request. */
  readonly requestBytes: number
  readonly writes: boolean
  /** Measures a LUN once, in requests per second. `effort` scales how long: 1 is some seconds. */
  readonly measure: (url: string, effort: number) => Promise<number>
}

const KiB = 1024
const CLIENT_DEADLINE_MS = 120_000

/** Random or sequential reads by iscsi-perf, for some seconds. */
function perf(name: string, depth: number, random: boolean): Workload {
  const measure = async (url: string, effort: number): Promise<number> => {
    const seconds = String(Math.max(1, Math.round(4 * effort)))
    const args = ["-m", String(depth), "-b", "8", "-t", seconds, ...(random ? ["-r"] : []), url]
    const { output } = await run("iscsi-perf", args, CLIENT_DEADLINE_MS)
    const averages = [...output.matchAll(/iops average (\d+)/g)]
    return numberIn(averages.at(-1)?.[1], "iscsi-perf", output)
  }
  return { name, requestBytes: 4 * KiB, writes: false, measure }
}

/** A number of requests in sequence by qemu-img bench. */
function qemu(name: string, requestBytes: number, depth: number, count: number, writes: boolean): Workload {
  const measure = async (url: string, effort: number): Promise<number> => {
    const requests = Math.max(depth * 4, Math.round(count * effort))
    const shape = [
      "-s",
      String(requestBytes),
      "-d",
      String(depth),
      "-c",
      String(requests),
      ...(writes ? ["-w"] : []),
    ]
    const { output } = await run(
      "qemu-img",
      ["bench", "-f", "raw", "-t", "none", ...shape, url],
      CLIENT_DEADLINE_MS,
    )
    return requests / numberIn(/Run completed in ([\d.]+)/.exec(output)?.[1], "qemu-img", output)
  }
  return { name, requestBytes, writes, measure }
}

function numberIn(text: string | undefined, tool: string, output: string): number {
  const value = Number(text)
  if (text === undefined || !(value > 0)) throw new Error(`${tool} measured nothing:\n${output}`)
  return value
}

export const workloads: readonly Workload[] = [
  perf("4 KiB random reads, depth 32", 32, true),
  qemu("4 KiB reads, depth 32", 4 * KiB, 32, 60_000, false),
  qemu("4 KiB writes, depth 32", 4 * KiB, 32, 40_000, true),
  perf("4 KiB random reads, depth 1", 1, true),
  qemu("4 KiB reads, depth 1", 4 * KiB, 1, 10_000, false),
  qemu("4 KiB writes, depth 1", 4 * KiB, 1, 8_000, true),
  qemu("256 KiB reads, depth 8", 256 * KiB, 8, 6_000, false),
  qemu("256 KiB writes, depth 8", 256 * KiB, 8, 4_000, true),
  qemu("1 MiB reads, depth 8", 1024 * KiB, 8, 1_500, false),
  qemu("1 MiB writes, depth 8", 1024 * KiB, 8, 1_000, true),
]
