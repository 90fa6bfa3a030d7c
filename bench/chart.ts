/**
 * The results as a picture: for every workload one bar per target, as long as its rate stands to the faster peer's, so
 * that 4 KiB and 1 MiB fit one scale; the absolute rate is written at its end. A single SVG, for light and dark pages.
 */
import type { BenchResults, Measured } from "./run.ts"

const WIDTH = 860
const LABELS = 212
const RIGHT = 104
const PLOT = WIDTH - LABELS - RIGHT
const BAR = 11
const BAR_GAP = 2
const GROUP_GAP = 15
const TOP = 92
const BOTTOM = 68

const STYLE = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #1f2937 }
  .title { font-size: 17px; font-weight: 600 }
  .note, .tick, .value { fill: #6b7280 }
  .note, .tick, .value { font-size: 11px }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
  .ours { font-weight: 600; fill: #1d4ed8 }
  .card { fill: #ffffff; stroke: #e5e7eb }
  .grid { stroke: #e5e7eb }
  .one { stroke: #6b7280; stroke-dasharray: 3 3 }
  .c0 { fill: #2563eb } .c1 { fill: #94a3b8 } .c2 { fill: #cbd5e1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb }
    .note, .tick, .value { fill: #9ca3af }
    .value { stroke: #0d1117 }
    .ours { fill: #93c5fd }
    .card { fill: #0d1117; stroke: #30363d }
    .grid { stroke: #21262d }
    .one { stroke: #8b949e }
    .c0 { fill: #3b82f6 } .c1 { fill: #64748b } .c2 { fill: #3f4a5a }
  }`

const escape = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;")

const text = (x: number, y: number, content: string, kind = "", anchor = "start"): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${kind}" text-anchor="${anchor}">${escape(content)}</text>`

/** "53.2k/s" for small requests, "1.9 GB/s" for large ones. */
function rate(perSecond: number, requestBytes: number): string {
  if (requestBytes >= 64 * 1024) {
    const megabytes = (perSecond * requestBytes) / 1e6
    return megabytes >= 1000 ? `${(megabytes / 1000).toFixed(1)} GB/s` : `${megabytes.toFixed(0)} MB/s`
  }
  return perSecond >= 1000 ? `${(perSecond / 1000).toFixed(1)}k/s` : `${perSecond.toFixed(0)}/s`
}

/** The medians of a workload in units of the fastest peer's (of the fastest at all, without peers). */
function relative({ median }: Measured, names: readonly string[]): Map<string, number> {
  const peers = names.filter((name) => name !== "sanlet").map((name) => median[name] ?? 0)
  const unit = Math.max(...(peers.length > 0 ? peers : Object.values(median))) || 1
  return new Map(names.map((name) => [name, (median[name] ?? 0) / unit]))
}

/** Returns the picture as the text of an SVG file. */
export function chart(results: BenchResults): string {
  const { measured } = results
  const names = Object.keys(measured[0]?.median ?? {})
  const groupHeight = names.length * (BAR + BAR_GAP) + GROUP_GAP
  const height = TOP + measured.length * groupHeight + BOTTOM
  const longest = Math.max(1, ...measured.flatMap((result) => [...relative(result, names).values()]))
  const end = Math.ceil(longest * 2) / 2
  const x = (value: number): number => LABELS + (value / end) * PLOT
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>sanlet beside ${names.filter((name) => name !== "sanlet").join(" and ")}</title><style>${STYLE}</style>`,
    `<rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>`,
    text(20, 32, "Speed beside the C daemons, on one machine in one run", "title"),
    text(
      20,
      52,
      "Same clients (qemu-img bench, iscsi-perf), equal files in the page cache. 1x is the faster of tgt and istgt.",
      "note",
    ),
    ...legend(names),
    ...grid(end, x, height),
  ]
  for (const [i, result] of measured.entries()) parts.push(...group(result, names, TOP + i * groupHeight, x))
  const rounds = Object.values(measured[0]?.rounds ?? {})[0]?.length ?? 0
  parts.push(
    text(20, height - 32, `Medians of ${rounds} rounds, ${results.date}: ${results.machine}`, "note"),
  )
  parts.push(text(20, height - 16, results.versions.join("; "), "note"))
  parts.push("</svg>")
  return `${parts.join("\n")}\n`
}

function legend(names: readonly string[]): string[] {
  return names.flatMap((name, i) => {
    const at = LABELS + i * 86
    return [`<rect class="c${i}" x="${at}" y="64" width="11" height="11" rx="2"/>`, text(at + 17, 74, name)]
  })
}

function grid(end: number, x: (value: number) => number, height: number): string[] {
  const lines: string[] = []
  const step = end > 4 ? 1 : 0.5
  const bottom = height - BOTTOM + 2
  for (let value = 0; value <= end; value += step) {
    const kind = value === 1 ? "one" : "grid"
    lines.push(
      `<line class="${kind}" x1="${x(value).toFixed(1)}" x2="${x(value).toFixed(1)}" y1="${TOP - 8}" y2="${bottom - 6}"/>`,
    )
    lines.push(text(x(value), bottom + 8, `${value}x`, "tick", "middle"))
  }
  return lines
}

function group(
  result: Measured,
  names: readonly string[],
  top: number,
  x: (value: number) => number,
): string[] {
  const middle = top + (names.length * (BAR + BAR_GAP)) / 2 + 3
  const parts = [text(20, middle, result.workload)]
  let y = top
  for (const [i, [name, value]] of [...relative(result, names)].entries()) {
    const width = Math.max(1, x(value) - x(0))
    parts.push(
      `<rect class="c${i}" x="${LABELS}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>`,
    )
    const times = name === "sanlet" && result.ratio !== undefined ? ` (${result.ratio.toFixed(2)}x)` : ""
    const label = `${rate(result.median[name] ?? 0, result.requestBytes)}${times}`
    parts.push(text(LABELS + width + 6, y + BAR - 1.5, label, name === "sanlet" ? "value ours" : "value"))
    y += BAR + BAR_GAP
  }
  return parts
}
