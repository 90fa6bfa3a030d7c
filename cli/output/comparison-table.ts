import {
  type ComparedSide,
  type ComparedWorkload,
  type Metric,
  metrics,
} from "../../src/control/bench/compare.ts"
import type { Spread } from "../../src/control/bench/statistics.ts"
import { formatCpu, formatRatio, nameOf, workloadName } from "./chart/words.ts"
import { formatCount, formatLatency, formatRate } from "./numbers.ts"
import { type Style, widthOf } from "./style.ts"
import { type Column, table } from "./table.ts"

const titles: Readonly<Record<Metric, readonly [title: string, format: (value: number) => string]>> = {
  bytesPerSecond: ["throughput", formatRate],
  iops: ["IOPS", formatCount],
  latencyP50: ["latency p50", formatLatency],
  latencyP99: ["latency p99", formatLatency],
  latencyP999: ["latency p99.9", formatLatency],
  initiatorCpu: ["CPU/GiB initiator", formatCpu],
  targetCpu: ["CPU/GiB target", formatCpu],
}

/** Where more of it is better; of the others, less. */
const MORE_IS_BETTER: readonly Metric[] = ["bytesPerSecond", "iops"]

/**
 * A workload's figures: one column per contestant, and for all but the first its ratio to the first with the lowest and
 * the highest round's, as far as there is room. Ratios are green or red where all rounds agree on better or worse. Where
 * `columns` leave even more room, a bar shows where between half and double each ratio lies.
 */
export function comparisonTable(workload: ComparedWorkload, style: Style, columns: number): string[] {
  const heading = `${style.bold(workloadName(workload))}${style.dim(`, depth ${workload.depth}`)}`
  const plain = tableOf(workload, style, { spread: true })
  const room = columns - Math.max(...plain.map(widthOf))
  if (room < 0) return [heading, ...tableOf(workload, style, { spread: false })]
  const others = workload.sides.length - 1
  const width = Math.min(SCALE_COLUMNS_MAX, Math.floor(room / others) - 2)
  const odd = width - (width % 2 === 0 ? 1 : 0)
  return [
    heading,
    ...(width < SCALE_COLUMNS_MIN ? plain : tableOf(workload, style, { spread: true, scale: odd })),
  ]
}

const SCALE_COLUMNS_MIN = 15
const SCALE_COLUMNS_MAX = 31

/** `scale`: columns of the bars; 0: none. */
function tableOf(
  { sides }: ComparedWorkload,
  style: Style,
  { spread, scale = 0 }: { spread: boolean; scale?: number },
): string[] {
  const [first, ...others] = sides
  if (!first) return []
  const right = (title: string): Column => ({ title, align: "right" })
  const columns: Column[] = [
    { title: "" },
    ...sides.map(({ label }) => right(nameOf(label))),
    ...others.flatMap((side) => [
      {
        title:
          others.length > 1 ? `${nameOf(side.label)} to ${nameOf(first.label)}` : `to ${nameOf(first.label)}`,
      },
      ...(scale > 0 ? [{ title: style.dim(ruler(scale)) }] : []),
    ]),
  ]
  const rows = metrics.map((metric) => [
    style.dim(titles[metric][0]),
    ...sides.map((side) => figure(side, metric)),
    ...others.flatMap((side) => {
      const ratio = side.ratios[metric]
      return [
        ratioText(ratio, metric, style, spread),
        ...(scale > 0 ? [bar(ratio, metric, scale, style)] : []),
      ]
    }),
  ])
  return table(columns, rows, style)
}

function figure({ figures }: ComparedSide, metric: Metric): string {
  const spread = figures[metric]
  return spread ? titles[metric][1](spread.median) : "not known"
}

/** "0.92x (0.90 to 0.95)". */
function ratioText(ratio: Spread | undefined, metric: Metric, style: Style, spread: boolean): string {
  if (!ratio) return ""
  const { low, high } = ratio
  const painted = paint(formatRatio(ratio.median), ratio, metric, style)
  return spread ? `${painted} ${style.dim(`(${low.toFixed(2)} to ${high.toFixed(2)})`)}` : painted
}

/** No colour where the rounds don't agree: it may be noise. */
function paint(text: string, { low, high }: Spread, metric: Metric, style: Style): string {
  const more = MORE_IS_BETTER.includes(metric)
  if (more ? low > 1 : high < 1) return style.green(text)
  return (more ? high < 1 : low > 1) ? style.red(text) : text
}

/** "0.5x     1x     2x" over the bars. */
function ruler(width: number): string {
  const half = (width - 1) / 2
  const left = "0.5x".padEnd(half - 1)
  return `${left}1x${"2x".padStart(width - left.length - 2)}`
}

/** From the middle, 1x, to where the ratio lies: left is less, right more, on a logarithmic scale. */
function bar(ratio: Spread | undefined, metric: Metric, width: number, style: Style): string {
  if (!ratio) return ""
  const half = (width - 1) / 2
  const steps = Math.round(Math.max(-1, Math.min(1, Math.log2(ratio.median))) * half)
  const cells = Array.from({ length: width }, (_, i) => {
    const at = i - half
    if (at === 0) return "│"
    return at * steps > 0 && Math.abs(at) <= Math.abs(steps) ? "█" : " "
  })
  return paint(cells.join("").trimEnd(), ratio, metric, style)
}
