/**
 * What one workload looks like: throughput, latencies and CPU time, each in a panel of its own, with one track per
 * contestant. A track says its figures in words above what it draws.
 */
import type { ComparedSide, ComparedWorkload, Metric } from "../../../src/control/bench/compare.ts"
import { formatCount, formatLatency, formatRate } from "../numbers.ts"
import { circle, type Drawing, line, logTicks, rect, runs, text, ticks, whisker } from "./svg.ts"
import { formatCpu, nameOf } from "./words.ts"

const WIDTH = 340
const HEAD = 30
const TRACK = 44
const BAR_AT = 19
const BAR = 12
const FOOT = 20
/** A tick's label nearer to the edge than this stands inwards of its tick. */
const EDGE = 18

type Run = readonly [content: string, kind: string]

interface Track {
  readonly name: string
  readonly values: readonly Run[]
  /** Draws at `top`, with the panel's scale. */
  readonly draw: (top: number) => readonly string[]
}

interface Axis {
  readonly ticks: readonly number[]
  readonly x: (value: number) => number
  readonly format: (value: number) => string
}

function panel(title: string, note: string, axis: Axis, tracks: readonly Track[]): Drawing {
  const foot = HEAD + tracks.length * TRACK
  const grid = axis.ticks.flatMap((tick) => {
    const x = axis.x(tick)
    const anchor = x < EDGE ? "start" : x > WIDTH - EDGE ? "end" : "middle"
    return [
      line(x, HEAD + 12, x, foot, "grid"),
      text(x, foot + 14, axis.format(tick), { kind: "tick", anchor }),
    ]
  })
  const rows = tracks.flatMap(({ name, values, draw }, i) => {
    const top = HEAD + i * TRACK
    return [
      ...draw(top + BAR_AT),
      text(0, top + 12, name, { kind: "side" }),
      runs(WIDTH, top + 12, values, "end"),
    ]
  })
  const head = [text(0, 12, title, { kind: "panel" }), text(WIDTH, 12, note, { kind: "note", anchor: "end" })]
  return { width: WIDTH, height: foot + FOOT, parts: [...head, ...grid, ...rows] }
}

type Unit = readonly [size: number, name: string]

const RATES: readonly Unit[] = [
  [2 ** 30, "GiB/s"],
  [2 ** 20, "MiB/s"],
  [2 ** 10, "KiB/s"],
]
const TIMES: readonly Unit[] = [
  [1000, "s"],
  [1, "ms"],
]

/** From 0 to the last tick, in the largest unit there is two of: steps of it are round. The last tick names it. */
function linear(end: number, units: readonly Unit[]): Axis {
  const [size, name] = units.find(([unit]) => end >= 2 * unit) ?? units.at(-1)!
  const marks = ticks(end / size, 4)
  const last = marks.at(-1) || 1
  return {
    ticks: marks.map((mark) => mark * size),
    x: (value) => (value / size / last) * WIDTH,
    format: (value) =>
      `${Number((value / size).toFixed(3))}${value / size >= last * 0.999 ? ` ${name}` : ""}`,
  }
}

const highest = (sides: readonly ComparedSide[], metric: Metric): number =>
  Math.max(0, ...sides.map(({ figures }) => figures[metric]?.high ?? 0))

const roundsTitle = (side: ComparedSide, metric: Metric, format: (value: number) => string): string =>
  `${nameOf(side.label)}, round by round: ${side.rounds.map((round) => (round[metric] === undefined ? "-" : format(round[metric]))).join(", ")}`

function throughput({ sides }: ComparedWorkload): Drawing {
  const axis = linear(highest(sides, "bytesPerSecond"), RATES)
  const tracks = sides.map((side, i): Track => {
    const { bytesPerSecond, iops } = side.figures
    if (!bytesPerSecond || !iops)
      return { name: nameOf(side.label), values: [["-", "quiet"]], draw: () => [] }
    return {
      name: nameOf(side.label),
      values: [
        [formatRate(bytesPerSecond.median), "value"],
        [`   ${formatCount(iops.median)} IOPS`, "quiet"],
      ],
      draw: (top) => [
        rect(0, top, axis.x(bytesPerSecond.median), BAR, {
          kind: `s${i}`,
          title: roundsTitle(side, "bytesPerSecond", formatRate),
        }),
        whisker(axis.x(bytesPerSecond.low), axis.x(bytesPerSecond.high), top + BAR / 2),
      ],
    }
  })
  return panel("Throughput", "longer is better", axis, tracks)
}

const PERCENTILES = [
  ["p50", "latencyP50"],
  ["p99", "latencyP99"],
  ["p99.9", "latencyP999"],
] as const

/** A round number of them: "3 ms", not "3.00 ms". */
const roundLatency = (milliseconds: number): string =>
  formatLatency(milliseconds)
    .replace(/(\.\d*?)0+(?= )/, "$1")
    .replace(". ", " ")

function latency({ sides }: ComparedWorkload): Drawing {
  const all = sides.flatMap(({ figures }) =>
    PERCENTILES.flatMap(([, metric]) => figures[metric]?.median ?? []),
  )
  const low = Math.min(...all, Number.MAX_VALUE) / 1.15
  const high = Math.max(...all, 0.001) * 1.15
  // A tail of less than a doubling is drawn on a doubling: a hair's breadth shall not look like a mile.
  const [from, to] = high / low < 3 ? [low / 1.3, low * 3] : [low, high]
  const x = (value: number) => 6 + (Math.log(value / from) / Math.log(to / from)) * (WIDTH - 12)
  const axis: Axis = { ticks: logTicks(from, to), x, format: roundLatency }
  const tracks = sides.map((side, i): Track => {
    const points = PERCENTILES.flatMap(([name, metric]) => {
      const spread = side.figures[metric]
      return spread ? [{ name, spread, title: roundsTitle(side, metric, formatLatency) }] : []
    })
    const middle = (top: number) => top + BAR / 2
    return {
      name: nameOf(side.label),
      values: points.flatMap(({ name, spread }): Run[] => [
        [`   ${name} `, "quiet"],
        [formatLatency(spread.median), "value"],
      ]),
      draw: (top) => [
        ...(points.length > 1
          ? [
              line(
                x(points[0]!.spread.median),
                middle(top),
                x(points.at(-1)!.spread.median),
                middle(top),
                `l${i}`,
              ),
            ]
          : []),
        ...points.map(({ name, spread, title }, point) =>
          circle(
            x(spread.median),
            middle(top),
            5.5 - point,
            point === 0 ? `s${i}` : `ring l${i}`,
            `${name} of ${title}`,
          ),
        ),
      ],
    }
  })
  return panel("Latency", "further left is better; p50, p99, p99.9", axis, tracks)
}

function cpu({ sides }: ComparedWorkload): Drawing {
  const totals = sides.map(
    ({ figures }) => (figures.initiatorCpu?.median ?? 0) + (figures.targetCpu?.median ?? 0),
  )
  const axis = linear(Math.max(...totals), TIMES)
  const tracks = sides.map((side, i): Track => {
    const { initiatorCpu, targetCpu } = side.figures
    const own = initiatorCpu?.median ?? 0
    const theirs = targetCpu?.median ?? 0
    const values: Run[] =
      targetCpu === undefined
        ? [
            [formatCpu(own), "value"],
            [" here; target not known", "quiet"],
          ]
        : [
            [`${formatCpu(own)} + ${formatCpu(theirs)} = `, "quiet"],
            [formatCpu(own + theirs), "value"],
          ]
    return {
      name: nameOf(side.label),
      values,
      draw: (top) => [
        rect(0, top, axis.x(own), BAR, {
          kind: `s${i}`,
          title: `initiator: ${roundsTitle(side, "initiatorCpu", formatCpu)}`,
        }),
        ...(targetCpu
          ? [
              rect(axis.x(own) + 1.5, top, axis.x(theirs) - 1.5, BAR, {
                kind: `s${i} pale`,
                title: `target: ${roundsTitle(side, "targetCpu", formatCpu)}`,
              }),
            ]
          : []),
      ],
    }
  })
  return panel("CPU time per GiB", "initiator, then target (paler)", axis, tracks)
}

/** The panels of a workload, in the order people read them. */
export const panels = (workload: ComparedWorkload): { label: string; drawing: Drawing }[] => [
  { label: "Throughput", drawing: throughput(workload) },
  { label: "Latency", drawing: latency(workload) },
  { label: "CPU time per GiB", drawing: cpu(workload) },
]
