/**
 * sanlet beside tgt and istgt: the same clients against equal files in the page cache, in one run, round by round, so
 * that what else the machine does hits all alike. Medians and ratios are printed and written with a chart.
 *
 *     npm run bench                              all workloads, three rounds: some minutes
 *     npm run bench -- --only 4k --rounds 5      workloads whose name holds a text
 *     npm run bench -- --write                   the results to docs/bench, for the README
 *     npm run bench -- --targets sanlet,tgt      some of the targets
 */
import { randomFillSync } from "node:crypto"
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { cpus, release, tmpdir, totalmem } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { chart } from "./chart.ts"
import { type BenchTarget, starts, versionOf } from "./targets.ts"
import { type Workload, workloads } from "./workloads.ts"

const MiB = 1024 * 1024
const PEERS = ["tgt", "istgt"]

export interface Measured {
  readonly workload: string
  readonly requestBytes: number
  /** Requests per second: every round's, by target. */
  readonly rounds: Readonly<Record<string, readonly number[]>>
  readonly median: Readonly<Record<string, number>>
  /** sanlet's median against the faster of the others. */
  readonly ratio: number | undefined
}

export interface BenchResults {
  readonly date: string
  readonly machine: string
  readonly versions: readonly string[]
  readonly fileBytes: number
  readonly measured: readonly Measured[]
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

/**
 * One file of random bytes for each target, all the same and all made the same way: how a file was written decides in
 * what pieces it lies in the page cache, and that alone makes a target several times faster or slower.
 */
function makeImages(folder: string, names: readonly string[], sizeBytes: number): Map<string, string> {
  const seed = join(folder, "seed.img")
  const file = openSync(seed, "w")
  const piece = new Uint8Array(MiB)
  for (let at = 0; at < sizeBytes; at += piece.length) writeSync(file, randomFillSync(piece))
  closeSync(file)
  const images = new Map(names.map((name) => [name, join(folder, `${name}.img`)]))
  for (const image of images.values()) copyFileSync(seed, image)
  rmSync(seed)
  return images
}

async function measure(
  workload: Workload,
  targets: readonly BenchTarget[],
  rounds: number,
  effort: number,
): Promise<Measured> {
  const values: Record<string, number[]> = Object.fromEntries(targets.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    // each round begins with another target: whoever comes first finds the machine in another state
    for (let i = 0; i < targets.length; i++) {
      const target = targets[(round + i) % targets.length]
      if (target) values[target.name]?.push(await workload.measure(target.url, effort))
    }
  }
  const medians = Object.fromEntries(Object.entries(values).map(([name, list]) => [name, median(list)]))
  const best = Math.max(...PEERS.map((peer) => medians[peer] ?? 0))
  const ours = medians["sanlet"]
  const ratio = ours === undefined || best === 0 ? undefined : ours / best
  return {
    workload: workload.name,
    requestBytes: workload.requestBytes,
    rounds: values,
    median: medians,
    ratio,
  }
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(30) : cell.padStart(12))).join("")
}

function tell({ workload, median: medians, ratio }: Measured, names: readonly string[]): void {
  const numbers = names.map((name) => Math.round(medians[name] ?? 0).toLocaleString("en-US"))
  console.log(row([workload, ...numbers, ratio === undefined ? "" : `${ratio.toFixed(2)}x`]))
}

function write(results: BenchResults, folder: string): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "results.json"), `${JSON.stringify(results, undefined, 2)}\n`)
  writeFileSync(join(folder, "chart.svg"), chart(results))
  console.log(`written to ${folder}`)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      only: { type: "string", default: "" },
      targets: { type: "string", default: "sanlet,tgt,istgt" },
      effort: { type: "string", default: "1" },
      size: { type: "string", default: "1024" },
      write: { type: "boolean", default: false },
      out: { type: "string", default: "docs/bench" },
    },
  })
  const names = values.targets.split(",")
  const sizeBytes = Number(values.size) * MiB
  const folder = mkdtempSync(join(tmpdir(), "sanlet-bench-"))
  const running: BenchTarget[] = []
  try {
    for (const [name, image] of makeImages(folder, names, sizeBytes)) {
      const start = starts[name]
      if (!start) throw new Error(`no target is called ${name}: ${Object.keys(starts).join(", ")}`)
      running.push(await start(image))
    }
    const [cpu] = cpus()
    const machine = `${cpus().length} x ${cpu?.model ?? "CPU"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release().split("-")[0]}`
    console.log(`${machine}\n\n${row(["requests per second", ...names, "to faster"])}`)
    const measured: Measured[] = []
    for (const workload of workloads.filter(({ name }) => name.includes(values.only))) {
      const result = await measure(workload, running, Number(values.rounds), Number(values.effort))
      tell(result, names)
      measured.push(result)
    }
    const versions = await Promise.all(names.map(versionOf))
    const date = new Date().toISOString().slice(0, 10)
    if (values.write) write({ date, machine, versions, fileBytes: sizeBytes, measured }, values.out)
  } finally {
    for (const target of running) await target.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
