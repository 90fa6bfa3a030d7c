import { type ComparedWorkload, type Metric, metrics } from "../../../src/control/bench/compare.ts"
import type { ComparisonReport } from "../../../src/control/bench/report.ts"
import type { Spread } from "../../../src/control/bench/statistics.ts"
import { formatCount, formatLatency, formatRate, formatSeconds } from "../numbers.ts"
import { overview } from "./overview.ts"
import { panels } from "./panels.ts"
import { CHART_STYLE } from "./style.ts"
import { type Drawing, element, escapeXml, file, group, rect, text } from "./svg.ts"
import { formatCpu, formatRatio, nameOf, workloadName } from "./words.ts"

const PAGE_STYLE = `
  :root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --line: #e5e7eb; --ink: #1f2937; --quiet: #6b7280 }
  @media (prefers-color-scheme: dark) {
    :root { --page: #010409; --card: #0d1117; --line: #30363d; --ink: #e5e7eb; --quiet: #9ca3af }
  }
  * { box-sizing: border-box }
  body { margin: 0; padding: 32px 20px 48px; background: var(--page); color: var(--ink);
    font: 14px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
  main { max-width: 1160px; margin: 0 auto }
  h1 { margin: 0 0 4px; font-size: 26px; letter-spacing: -.01em }
  h2 { margin: 0 0 16px; font-size: 16px }
  h2 span { font-weight: 400; color: var(--quiet) }
  p { margin: 0 0 4px; color: var(--quiet); overflow-wrap: anywhere }
  .card-box { margin-top: 20px; padding: 20px 24px; background: var(--card); border: 1px solid var(--line); border-radius: 10px }
  .panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr)); gap: 20px 36px }
  svg { display: block; width: 100%; height: auto }
  .scroll { overflow-x: auto }
  .scroll > svg { min-width: 760px }
  details { margin-top: 14px }
  summary { color: var(--quiet); font-size: 12px; cursor: pointer }
  table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap }
  th, td { padding: 5px 12px 5px 0; border-top: 1px solid var(--line); text-align: right }
  th:first-child { text-align: left; font-weight: 400; color: var(--quiet) }
  thead th { border-top: 0; font-weight: 600; color: var(--ink) }
  td span { color: var(--quiet); font-size: 12px }
  footer { margin-top: 24px; color: var(--quiet); font-size: 13px }`

/** What a metric is called, and how its figures are written. */
const metricRows: Readonly<Record<Metric, readonly [title: string, format: (value: number) => string]>> = {
  bytesPerSecond: ["throughput", formatRate],
  iops: ["IOPS", formatCount],
  latencyP50: ["latency, p50", formatLatency],
  latencyP99: ["latency, p99", formatLatency],
  latencyP999: ["latency, p99.9", formatLatency],
  initiatorCpu: ["CPU per GiB, initiator", formatCpu],
  targetCpu: ["CPU per GiB, target", formatCpu],
}

const titleOf = (labels: readonly string[]): string => labels.map(nameOf).join(" beside ")

/** How it was measured, in a line. */
const method = ({ rounds, roundMs }: ComparisonReport): string =>
  `Medians of ${rounds} rounds of ${formatSeconds(roundMs / 1000)} each, in turns; whiskers from the lowest to the highest round.`

/** So that text is as large in the glance as in the panels. */
const PAGE_PLOT = 288
/** For the width READMEs are shown with. */
const PICTURE_PLOT = 180

/** A page of its own: nothing is loaded from elsewhere, nothing runs. */
export function comparisonPage(report: ComparisonReport): string {
  const labels = report.workloads[0]?.sides.map(({ label }) => label) ?? []
  const title = titleOf(labels)
  const [first = ""] = labels
  const target = report.targetProcess
    ? `process ${report.targetProcess.pid} (${report.targetProcess.name}) of this machine`
    : "not known: it is no process of this machine that can be looked at"
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(title)}: sanlet bench</title>
<style>${PAGE_STYLE}${CHART_STYLE}
</style>
</head>
<body>
<main>
<h1>${escapeXml(title)}</h1>
<p>${escapeXml(report.subject)}</p>
<p>${escapeXml(`${report.date}: ${report.machine}`)}</p>
<section class="card-box scroll">
${element(overview(report.workloads, PAGE_PLOT), `Throughput and CPU time in units of ${nameOf(first)}`)}
</section>
${report.workloads.map(section).join("\n")}
<footer>
<p>${escapeXml(method(report))} Ratios are to ${escapeXml(nameOf(first))}, made round by round.</p>
<p>CPU time is user and system time of the whole process, per GiB moved. Initiator: this program, the measuring included.
Target: ${escapeXml(target)}.</p>
</footer>
</main>
</body>
</html>
`
}

function section(workload: ComparedWorkload): string {
  const drawings = panels(workload).map(
    ({ label, drawing }) => `<div>${element(drawing, `${label}, ${workloadName(workload)}`)}</div>`,
  )
  return `<section class="card-box">
<h2>${escapeXml(workloadName(workload))} <span>depth ${workload.depth}</span></h2>
<div class="panels">
${drawings.join("\n")}
</div>
<details><summary>All figures</summary><div class="scroll">
${figuresTable(workload)}
</div></details>
</section>`
}

function figuresTable({ sides }: ComparedWorkload): string {
  const cell = (spread: Spread | undefined, format: (value: number) => string): string =>
    spread
      ? `<td>${format(spread.median)} <span>${format(spread.low)} to ${format(spread.high)}</span></td>`
      : "<td>not known</td>"
  const [first, ...others] = sides
  const head = [
    ...sides.map(({ label }) => `<th>${escapeXml(nameOf(label))}</th>`),
    ...others.map(
      ({ label }) => `<th>${escapeXml(`${nameOf(label)} to ${nameOf(first?.label ?? "")}`)}</th>`,
    ),
  ]
  const rows = metrics.map((metric) => {
    const [title, format] = metricRows[metric]
    const cells = [
      ...sides.map(({ figures }) => cell(figures[metric], format)),
      ...others.map(({ ratios }) => cell(ratios[metric], formatRatio)),
    ]
    return `<tr><th>${title}</th>${cells.join("")}</tr>`
  })
  return `<table><thead><tr><th></th>${head.join("")}</tr></thead><tbody>\n${rows.join("\n")}\n</tbody></table>`
}

const MARGIN = 24
const FILE_HEAD = 76

/** The glance at all workloads as an SVG file, for a page that can't hold HTML. */
export function comparisonPicture(
  report: ComparisonReport,
  title: string,
  notes: readonly string[] = [],
): string {
  const inner = overview(report.workloads, PICTURE_PLOT)
  const lines = [method(report), `${report.date}: ${report.machine}`, ...notes]
  const width = inner.width + 2 * MARGIN
  const height = FILE_HEAD + inner.height + 20 + lines.length * 16 + 10
  const drawing: Drawing = {
    width,
    height,
    parts: [
      rect(0.5, 0.5, width - 1, height - 1, { kind: "card", radius: 8 }),
      text(MARGIN, 34, title, { kind: "title" }),
      text(MARGIN, 53, report.subject, { kind: "note" }),
      group(MARGIN, FILE_HEAD, inner.parts),
      ...lines.map((content, i) =>
        text(MARGIN, FILE_HEAD + inner.height + 22 + i * 16, content, { kind: "note" }),
      ),
    ],
  }
  return file(drawing, title, CHART_STYLE)
}
