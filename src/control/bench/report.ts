import { cpus, release, totalmem, type as systemName } from "node:os"
import type { ComparedWorkload } from "./compare.ts"
import type { LocalProcess } from "./process-cpu.ts"

/** A comparison with what one has to know to judge it. */
export interface ComparisonReport {
  /** What was measured, for people: a URL, or "sanlet to sanlet on loopback". */
  readonly subject: string
  /** As "2026-11-21". */
  readonly date: string
  readonly machine: string
  readonly rounds: number
  readonly roundMs: number
  /** Whose CPU time the target's is. Absent: not known. */
  readonly targetProcess?: LocalProcess
  readonly workloads: readonly ComparedWorkload[]
}

/** As "2 x Intel(R) Xeon(R) Processor, 24 GiB, Linux 6.1.0, Node v20.20.2". */
export function machineName(): string {
  const all = cpus()
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  const system = `${systemName()} ${release().split("-")[0]}`
  return `${all.length} x ${all[0]?.model.trim() ?? "CPU"}, ${memory}, ${system}, Node ${process.version}`
}

/** The calendar's day in UTC, as "2026-11-21". */
export const dayOf = (wallMs: number): string => new Date(wallMs).toISOString().slice(0, 10)
