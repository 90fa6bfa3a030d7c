/** How charts look on light pages. Text keeps clear of lines that run behind it. */
const light = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #1f2937; font-variant-numeric: tabular-nums }
  .title { font-size: 17px; font-weight: 600 }
  .panel, .side, .value { font-weight: 600 }
  .side { fill: #374151 }
  .quiet { fill: #6b7280 }
  .note, .tick { font-size: 11px; fill: #6b7280 }
  .value, .quiet { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
  .card { fill: #ffffff; stroke: #e5e7eb }
  .grid { stroke: #e5e7eb } .one { stroke: #6b7280; stroke-dasharray: 3 3 }
  .whisker { stroke: #111827; stroke-opacity: .55 }
  .s0 { fill: #94a3b8 } .s1 { fill: #2563eb } .s2 { fill: #0d9488 } .s3 { fill: #c026d3 }
  .l0 { stroke: #94a3b8 } .l1 { stroke: #2563eb } .l2 { stroke: #0d9488 } .l3 { stroke: #c026d3 }
  .l0, .l1, .l2, .l3 { stroke-width: 2.5 }
  .ring { fill: #ffffff }
  .pale { fill-opacity: .42 }`

/** What is different on dark ones. */
const dark = `
  text { fill: #e5e7eb }
  .side { fill: #d1d5db }
  .quiet, .note, .tick { fill: #9ca3af }
  .value, .quiet { stroke: #0d1117 }
  .card { fill: #0d1117; stroke: #30363d }
  .grid { stroke: #262c36 } .one { stroke: #8b949e }
  .whisker { stroke: #f3f4f6 }
  .s0 { fill: #64748b } .s1 { fill: #3b82f6 } .s2 { fill: #14b8a6 } .s3 { fill: #d946ef }
  .l0 { stroke: #64748b } .l1 { stroke: #3b82f6 } .l2 { stroke: #14b8a6 } .l3 { stroke: #d946ef }
  .ring { fill: #0d1117 }`

/** For the style element of a drawing or of a page that holds drawings. */
export const CHART_STYLE = `${light}
  @media (prefers-color-scheme: dark) {${dark}
  }`
