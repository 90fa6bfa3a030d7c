/** A recorded comparison as a table and as charts. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { comparisonPage, comparisonPicture } from "../../../../cli/output/chart/page.ts"
import { logTicks, ticks } from "../../../../cli/output/chart/svg.ts"
import { formatCpu, nameOf } from "../../../../cli/output/chart/words.ts"
import { comparisonTable } from "../../../../cli/output/comparison-table.ts"
import { styleFor, widthOf } from "../../../../cli/output/style.ts"
import { type ComparedWorkload, type RoundFigures, summary } from "../../../../src/control/bench/compare.ts"
import type { ComparisonReport } from "../../../../src/control/bench/report.ts"

/** Figures in proportion to a rate, each round a little off. */
function rounds(mebibytesPerSecond: number, ioBytes: number, target = true): RoundFigures[] {
  return [1, 0.96, 1.05].map((factor) => {
    const bytesPerSecond = mebibytesPerSecond * 2 ** 20 * factor
    const p50 = (32 * ioBytes * 1000) / bytesPerSecond
    return {
      bytesPerSecond,
      iops: bytesPerSecond / ioBytes,
      latencyP50: p50,
      latencyP99: p50 * 2.5,
      latencyP999: p50 * 4,
      initiatorCpu: 600_000 / mebibytesPerSecond,
      ...(target && { targetCpu: 500_000 / mebibytesPerSecond }),
    }
  })
}

function compared(ioBytes: number, rates: Readonly<Record<string, number>>, target = true): ComparedWorkload {
  const measured = Object.entries(rates).map(
    ([label, rate]) => [label, rounds(rate, ioBytes, target)] as const,
  )
  const sides = measured.map(([label, all], i) => summary(label, all, i > 0 ? measured[0]?.[1] : undefined))
  return { ioBytes, depth: 32, writePercent: 0, pattern: "random", sides }
}

const report = (
  target = true,
  rates: Readonly<Record<string, number>> = { tcp: 500, iser: 430 },
): ComparisonReport => ({
  subject: "iscsi://192.0.2.1/iqn.2026-01.org.example:disk/0?a=1&b=<2>",
  date: "2026-11-21",
  machine: "2 x CPU, 4 GiB, Linux 6.1.0, Node v20.20.2",
  rounds: 3,
  roundMs: 2000,
  ...(target && { targetProcess: { pid: 4711, name: "node" } }),
  workloads: [compared(4096, rates, target), compared(1 << 20, rates, target)],
})

const plain = styleFor({}, {})

describe("a comparison as a table", () => {
  test("fits 80 columns", () => {
    const lines = comparisonTable(compared(4096, { tcp: 500, iser: 430 }), plain, 80)
    assert.deepEqual(lines.slice(0, 4), [
      "4 KiB random reads, depth 32",
      "                         TCP       iSER  to TCP                0.5x   1x      2x",
      "throughput         500 MiB/s  430 MiB/s  0.86x (0.86 to 0.86)        ██│",
      "IOPS                 128,000    110,080  0.86x (0.86 to 0.86)        ██│",
    ])
    assert.ok(lines.every((line) => widthOf(line) <= 80))
  })

  test("has bars where there is room, and never more columns than there are", () => {
    for (const columns of [80, 100, 120, 200]) {
      for (const rates of [
        { tcp: 500, iser: 430 },
        { tcp: 500, iser: 430, "tcp (2)": 510 },
      ]) {
        const lines = comparisonTable(compared(4096, rates), plain, columns)
        const widest = Math.max(...lines.map(widthOf))
        assert.ok(widest <= columns, `${widest} of ${columns}`)
      }
    }
    const wide = comparisonTable(compared(4096, { tcp: 500, iser: 250 }), plain, 120)
    assert.match(wide[1] ?? "", /0\.5x +1x +2x$/)
    assert.match(wide[2] ?? "", /0\.50x \(0\.50 to 0\.50\) {2}█{15}│$/)
    assert.match(wide[4] ?? "", /2\.00x \(2\.00 to 2\.00\) {17}│█{15}$/)
  })

  test("leaves out how far ratios spread where three don't fit", () => {
    const lines = comparisonTable(compared(4096, { tcp: 500, iser: 430, "iser, CRC": 300 }), plain, 80)
    assert.deepEqual(lines.slice(1, 3), [
      "                         TCP       iSER  iSER, CRC  iSER to TCP  iSER, CRC to TCP",
      "throughput         500 MiB/s  430 MiB/s  300 MiB/s  0.86x        0.60x",
    ])
  })

  test("says what is not known", () => {
    const lines = comparisonTable(compared(4096, { tcp: 500, iser: 430 }, false), plain, 80)
    assert.equal(lines.at(-1), "CPU/GiB target     not known  not known")
  })

  test("colours only what all rounds agree on", () => {
    const colour = styleFor({}, { FORCE_COLOR: "1" })
    const lines = comparisonTable(compared(4096, { tcp: 500, iser: 430 }), colour, 80)
    assert.match(lines[2] ?? "", /\x1b\[31m0\.86x/)
    const close = compared(4096, { tcp: 500, iser: 500 })
    assert.doesNotMatch(comparisonTable(close, colour, 80)[2] ?? "", /\x1b\[3[12]m/)
    const better = compared(4096, { tcp: 500, iser: 600 })
    assert.match(comparisonTable(better, colour, 80)[4] ?? "", /latency p50.*\x1b\[32m0\.83x/)
  })
})

/** Elements open and close in order; attributes are quoted. Enough to see that a text is well-formed. */
function checkMarkup(markup: string): void {
  const open: string[] = []
  for (const [, close, name, rest = "", empty] of markup.matchAll(/<(\/?)([a-z0-9!]+)([^<>]*?)(\/?)>/gi)) {
    assert.match(rest, /^(\s+[\w:-]+(="[^"<>]*")?)*\s*$/, `<${name}${rest}>`)
    if (name === "!doctype" || name === "meta") continue
    if (close) assert.equal(open.pop(), name)
    else if (!empty) open.push(name ?? "")
  }
  assert.deepEqual(open, [])
}

describe("a comparison as charts", () => {
  for (const [what, drawn] of [
    ["with both sides", report()],
    ["without the target's CPU time", report(false)],
    ["of four", report(true, { tcp: 500, iser: 430, "tcp (2)": 490, "iser (2)": 900 })],
  ] as const) {
    test(`${what}: a page and a picture are well-formed and take nothing from elsewhere`, () => {
      for (const markup of [comparisonPage(drawn), comparisonPicture(drawn, "iSER beside TCP", ["a < b"])]) {
        checkMarkup(markup)
        assert.doesNotMatch(
          markup.replaceAll('xmlns="http://www.w3.org/2000/svg"', ""),
          /https?:|url\(|@import|src=|<script/,
        )
        assert.doesNotMatch(markup, /NaN|undefined|Infinity/)
        assert.match(markup, /prefers-color-scheme: dark/)
      }
    })
  }

  test("has a bar for every contestant of every workload, as long as its ratio", () => {
    const picture = comparisonPicture(report(), "iSER beside TCP")
    const widths = (kind: string) =>
      [
        ...picture.matchAll(new RegExp(`<rect [^>]*width="([\\d.]+)" height="12"[^>]* class="${kind}"`, "g")),
      ].map(([, width]) => Number(width))
    assert.equal(widths("s0").length, 4)
    const [throughput, cpu] = [widths("s1")[0]! / widths("s0")[0]!, widths("s1")[2]! / widths("s0")[2]!]
    assert.ok(Math.abs(throughput - 0.86) < 0.01, String(throughput))
    assert.ok(Math.abs(cpu - 500 / 430) < 0.01, String(cpu))
  })

  test("escapes what it is given", () => {
    const page = comparisonPage(report())
    assert.ok(page.includes("?a=1&amp;b=&lt;2&gt;"))
    assert.ok(page.includes("process 4711 (node)"))
  })
})

test("ticks are round, begin at 0 and reach the end", () => {
  assert.deepEqual(ticks(1.05, 3), [0, 0.5, 1, 1.5])
  assert.deepEqual(ticks(97, 4), [0, 25, 50, 75, 100])
  assert.deepEqual(ticks(0, 4), [0])
  assert.deepEqual(logTicks(0.9, 10), [1, 2, 5, 10])
  assert.deepEqual(logTicks(0.9, 30), [1, 3, 10, 30])
  assert.deepEqual(logTicks(0.01, 200), [0.01, 0.1, 1, 10, 100])
})

test("CPU time and labels as people write them", () => {
  assert.deepEqual([1.234, 85.4, 999.4, 999.6, 12_345].map(formatCpu), [
    "1.2 ms",
    "85 ms",
    "999 ms",
    "1.00 s",
    "12.35 s",
  ])
  assert.deepEqual(["tcp", "iser (2)", "iser, CRC", "tcpdump"].map(nameOf), [
    "TCP",
    "iSER (2)",
    "iSER, CRC",
    "tcpdump",
  ])
})
