/**
 * The transports between sanlet and sanlet on loopback: target and initiator each in a process of its own, one file in
 * the page cache, the same sessions for all rounds, round by round in turns. Both are measured with and without CRC32C,
 * which TCP has as digests and iSER in MPA; ratios are to TCP without. What is measured is what is compiled: the package.
 *
 *     npm run bench:transports                               all workloads: some minutes
 *     npm run bench:transports -- --only "4 KiB" --rounds 9  workloads whose name holds a text
 *     npm run bench:transports -- --write                    the results to docs/bench, for the README
 *     npm run bench:transports -- --page FILE                all figures as an HTML page
 *     npm run bench:transports -- --sessions "iser;tcp"      some of the transports; ratios are to the first
 *     npm run bench:transports -- --profile FOLDER           a CPU profile of the target; of the initiator: node --cpu-prof
 */
import { type ChildProcess, spawn } from "node:child_process"
import { randomFillSync } from "node:crypto"
import { once } from "node:events"
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { fileURLToPath } from "node:url"
import { Disk, iserOverIwarp, type OpenOptions } from "sanlet"
import { comparisonPage, comparisonPicture } from "../cli/output/chart/page.ts"
import { workloadName } from "../cli/output/chart/words.ts"
import { comparisonTable } from "../cli/output/comparison-table.ts"
import { styleFor } from "../cli/output/style.ts"
import { systemClock } from "../src/base/clock.ts"
import { systemRandom } from "../src/base/random.ts"
import { type BenchWorkload, compare, type ComparedWorkload } from "../src/control/bench/compare.ts"
import { cpuOf, ownCpu, processOf } from "../src/control/bench/process-cpu.ts"
import { type ComparisonReport, dayOf, machineName } from "../src/control/bench/report.ts"

const KiB = 1024
const MiB = 1024 * KiB
const WARM_UP_MS = 700

const shapes = [
  { ioBytes: 4 * KiB, depth: 32 },
  { ioBytes: 256 * KiB, depth: 8 },
  { ioBytes: MiB, depth: 8 },
]
const workloads: readonly BenchWorkload[] = shapes.flatMap((shape) =>
  [0, 100].map((writePercent) => ({ ...shape, writePercent, pattern: "random" as const })),
)

/** What software RDMA is held to, as parts of TCP's throughput: by label, for large and for small operations. */
const goals: Readonly<Record<string, { large: number; small: number }>> = {
  iser: { large: 0.9, small: 0.8 },
  "iser, CRC": { large: 0.6, small: 0.8 },
}

function makeImage(path: string, sizeBytes: number): void {
  const file = openSync(path, "w")
  const piece = new Uint8Array(MiB)
  for (let at = 0; at < sizeBytes; at += piece.length) writeSync(file, randomFillSync(piece))
  closeSync(file)
}

/** The target's process, and the URL it serves over TCP and iSER at one port. */
async function startTarget(image: string, profile: string): Promise<{ child: ChildProcess; url: string }> {
  const script = fileURLToPath(new URL("transport-target.ts", import.meta.url))
  const prof =
    profile === "" ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`, "--cpu-prof-name=target.cpuprofile"]
  const child = spawn(process.execPath, [...prof, "--import", "tsx", script, image], {
    stdio: ["pipe", "pipe", "inherit"],
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^serving (\S+)/.exec(line)?.[1]
    if (url !== undefined) return { child, url }
  }
  throw new Error("the target ended before it served anything")
}

/** It ends when its standard input does: also when this process dies. */
async function stopTarget(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit")
  child.stdin?.end()
  await ended
}

/** What sessions are opened with, by label. */
const kinds: Readonly<Record<string, () => OpenOptions>> = {
  tcp: () => ({ transport: "tcp" }),
  iser: () => ({ transport: "iser", services: { iser: iserOverIwarp({ crc: false }) } }),
  "tcp, digests": () => ({ transport: "tcp", keys: { headerDigest: ["CRC32C"], dataDigest: ["CRC32C"] } }),
  "iser, CRC": () => ({ transport: "iser", services: { iser: iserOverIwarp({ crc: true }) } }),
}

async function open(url: string, label: string): Promise<{ label: string; disk: Disk }> {
  const options = kinds[label]?.()
  if (!options) throw new Error(`there is no "${label}": ${Object.keys(kinds).join("; ")}`)
  return { label, disk: await Disk.open(url, { queueDepth: 32, reconnect: false, ...options }) }
}

function tellGoals(compared: readonly ComparedWorkload[]): void {
  for (const workload of compared) {
    for (const { label, ratios } of workload.sides) {
      const goal = goals[label]?.[workload.ioBytes < 64 * KiB ? "small" : "large"]
      const ratio = ratios.iops?.median
      if (goal === undefined || ratio === undefined) continue
      const verdict = ratio >= goal ? "reached" : "MISSED"
      console.log(
        `${workloadName(workload).padEnd(24)} ${label.padEnd(10)} ${ratio.toFixed(2)}x of ${goal}x: ${verdict}`,
      )
    }
  }
}

function write(report: ComparisonReport, folder: string): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "transports.json"), `${JSON.stringify(report, undefined, 2)}\n`)
  const title = "iSER over software RDMA beside TCP, on one machine in one run"
  writeFileSync(join(folder, "transports.svg"), comparisonPicture(report, title))
  console.log(`written to ${folder}`)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "2" },
      only: { type: "string", default: "" },
      size: { type: "string", default: "256" },
      write: { type: "boolean", default: false },
      out: { type: "string", default: "docs/bench" },
      page: { type: "string", default: "" },
      sessions: { type: "string", default: Object.keys(kinds).join(";") },
      profile: { type: "string", default: "" },
    },
  })
  const folder = mkdtempSync(join(tmpdir(), "sanlet-transports-"))
  const image = join(folder, "disk.img")
  makeImage(image, Number(values.size) * MiB)
  const { child, url } = await startTarget(image, values.profile)
  const sessions: Awaited<ReturnType<typeof open>>[] = []
  try {
    for (const label of values.sessions.split(";")) sessions.push(await open(url, label))
    const targetCpu = child.pid === undefined ? undefined : cpuOf(child.pid)
    const targetProcess = child.pid === undefined ? undefined : processOf(child.pid)
    const roundMs = Number(values.seconds) * 1000
    const rounds = Number(values.rounds)
    const compared: ComparedWorkload[] = []
    for (const workload of workloads.filter((one) => workloadName(one).includes(values.only))) {
      const options = { rounds, roundMs, warmUpMs: Math.min(WARM_UP_MS, roundMs), ownCpu }
      const contestants = sessions.map(({ label, disk }) => ({ label, subject: disk, targetCpu }))
      const environment = { clock: systemClock, random: systemRandom }
      const [result] = await compare(contestants, { workloads: [workload], ...options, ...environment })
      if (!result) continue
      compared.push(result)
      console.log(
        [
          ...comparisonTable(result, styleFor(process.stdout, process.env), process.stdout.columns ?? 120),
          "",
        ].join("\n"),
      )
    }
    tellGoals(compared)
    const report: ComparisonReport = {
      subject: "sanlet to sanlet on loopback, a process each, one file in the page cache",
      date: dayOf(systemClock.wallMs()),
      machine: machineName(),
      rounds,
      roundMs,
      ...(targetProcess && { targetProcess }),
      workloads: compared,
    }
    if (values.write) write(report, values.out)
    if (values.page !== "") writeFileSync(values.page, comparisonPage(report))
  } finally {
    for (const { disk } of sessions) await disk.close()
    await stopTarget(child)
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
