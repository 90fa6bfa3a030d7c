/**
 * All workloads at a glance: throughput and CPU time of each contestant in units of the first one's, so that 4 KiB and
 * 1 MiB fit one scale; what they are in figures stands behind the bars.
 */
import type { ComparedSide, ComparedWorkload } from "../../../src/control/bench/compare.ts"
import { type Spread, spreadOf } from "../../../src/control/bench/statistics.ts"
import { formatCount, formatRate } from "../numbers.ts"
import { type Drawing, line, rect, runs, text, ticks, whisker } from "./svg.ts"
import { formatCpu, formatRatio, nameOf, workloadName } from "./words.ts"

const LABELS = 216
const FIGURES = 148
const GAP = 24
const BAR = 12
const BAR_GAP = 3
const GROUP_GAP = 18
const HEAD_MIN = 66
const LEGEND_STEP = 18

/** Two plots as wide as told, with all around them. */
export const overviewWidth = (plot: number): number => LABELS + 2 * (plot + FIGURES) + GAP

interface Column {
  readonly left: number
  /** Of the bars, without the figures behind them. */
  readonly width: number
  readonly title: string
  readonly note: string
  readonly ratioOf: (side: ComparedSide, first: ComparedSide) => Spread | undefined
  readonly figureOf: (side: ComparedSide) => string
}

const WHOLE: Spread = { median: 1, low: 1, high: 1 }

/** Of both ends together; of the initiator alone where the target's is not known. Round by round, as all ratios. */
function cpuRatio(side: ComparedSide, first: ComparedSide): Spread | undefined {
  if (side === first) return WHOLE
  const known = [side, first].every(({ figures }) => figures.targetCpu !== undefined)
  const total = (of: ComparedSide, round: number) =>
    (of.rounds[round]?.initiatorCpu ?? Number.NaN) + (known ? (of.rounds[round]?.targetCpu ?? Number.NaN) : 0)
  const all = side.rounds.map((_, round) => total(side, round) / total(first, round))
  return spreadOf(all.filter((ratio) => Number.isFinite(ratio)))
}

function cpuFigure({ figures: { initiatorCpu, targetCpu } }: ComparedSide): string {
  return initiatorCpu ? formatCpu(initiatorCpu.median + (targetCpu?.median ?? 0)) : "-"
}

function columnsOf(first: string, complete: boolean, width: number): readonly Column[] {
  return [
    {
      left: LABELS,
      width,
      title: "Throughput",
      note: `${first} = 1x, longer is better`,
      ratioOf: (side, to) => (side === to ? WHOLE : side.ratios.bytesPerSecond),
      figureOf: ({ figures: { bytesPerSecond, iops } }) =>
        !bytesPerSecond || !iops
          ? "-"
          : bytesPerSecond.median / iops.median >= 65_536
            ? formatRate(bytesPerSecond.median)
            : `${formatCount(iops.median)} IOPS`,
    },
    {
      left: LABELS + width + FIGURES + GAP,
      width,
      title: complete ? "CPU time per GiB, both sides" : "CPU time per GiB, initiator",
      note: `${first} = 1x, shorter is better`,
      ratioOf: cpuRatio,
      figureOf: cpuFigure,
    },
  ]
}

/** Throughput and CPU time of every workload, one bar per contestant, in plots `plot` px wide. */
export function overview(workloads: readonly ComparedWorkload[], plot: number): Drawing {
  const labels = workloads[0]?.sides.map(({ label }) => label) ?? []
  const groupHeight = labels.length * (BAR + BAR_GAP) + GROUP_GAP
  const head = Math.max(HEAD_MIN, 12 + labels.length * LEGEND_STEP)
  const foot = head + workloads.length * groupHeight
  const complete = workloads.every(({ sides }) => sides.every(({ figures }) => figures.targetCpu))
  const columns = columnsOf(nameOf(labels[0] ?? ""), complete, plot)
  return {
    width: overviewWidth(plot),
    height: foot + 16,
    parts: [
      ...legend(labels),
      ...workloads.flatMap((workload, i) => workloadLabel(workload, head + i * groupHeight, groupHeight)),
      ...columns.flatMap((column) => columnParts(column, workloads, groupHeight, head, foot)),
    ],
  }
}

function legend(labels: readonly string[]): string[] {
  return labels.flatMap((label, i) => [
    rect(0, 4 + i * LEGEND_STEP, 11, 11, { kind: `s${i}` }),
    text(18, 14 + i * LEGEND_STEP, nameOf(label), { kind: "side" }),
  ])
}

function workloadLabel(workload: ComparedWorkload, top: number, height: number): string[] {
  const middle = top + (height - GROUP_GAP) / 2
  return [
    text(0, middle - 2, workloadName(workload), { kind: "side" }),
    text(0, middle + 13, `depth ${workload.depth}`, { kind: "note" }),
  ]
}

function columnParts(
  column: Column,
  workloads: readonly ComparedWorkload[],
  groupHeight: number,
  head: number,
  foot: number,
): string[] {
  const { left, width, title, note, ratioOf } = column
  const highest = Math.max(
    1,
    ...workloads.flatMap(({ sides }) => sides.map((side) => ratioOf(side, sides[0]!)?.high ?? 0)),
  )
  const marks = ticks(highest, 3)
  const x = (value: number): number => left + (value / (marks.at(-1) || 1)) * width
  const grid = marks.flatMap((mark) => [
    line(x(mark), head - 8, x(mark), foot - 8, mark === 1 ? "one" : "grid"),
    text(x(mark), foot + 8, `${mark}x`, { kind: "tick", anchor: "middle" }),
  ])
  if (!marks.includes(1)) grid.push(line(x(1), head - 8, x(1), foot - 8, "one"))
  const bars = workloads.flatMap((workload, i) =>
    workload.sides.flatMap((side, row) =>
      bar(column, side, workload.sides[0]!, row, head + i * groupHeight + row * (BAR + BAR_GAP), x),
    ),
  )
  return [text(left, 14, title, { kind: "panel" }), text(left, 32, note, { kind: "note" }), ...grid, ...bars]
}

function bar(
  { ratioOf, figureOf, left }: Column,
  side: ComparedSide,
  first: ComparedSide,
  row: number,
  top: number,
  x: (value: number) => number,
): string[] {
  const ratio = ratioOf(side, first)
  if (!ratio) return [text(left + 4, top + BAR - 2, "not known", { kind: "note" })]
  const own = side === first
  const end = Math.max(x(ratio.median), x(ratio.high))
  const spread = `${formatRatio(ratio.low)} to ${formatRatio(ratio.high)} over the rounds`
  return [
    rect(left, top, x(ratio.median) - left, BAR, {
      kind: `s${row}`,
      title: own ? nameOf(side.label) : `${nameOf(side.label)}: ${formatRatio(ratio.median)}, ${spread}`,
    }),
    ...(own ? [] : [whisker(x(ratio.low), x(ratio.high), top + BAR / 2)]),
    runs(end + 8, top + BAR - 2, [
      ...(own ? [] : ([[`${formatRatio(ratio.median)}  `, "value"]] as const)),
      [figureOf(side), "quiet"],
    ]),
  ]
}
