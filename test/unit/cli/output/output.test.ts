import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { styleFor, wantsColour, widthOf } from "../../../../cli/output/style.ts"
import { formatCount, formatLatency, formatRate, formatSeconds } from "../../../../cli/output/numbers.ts"
import { LiveLine, progressLine, RateMeter } from "../../../../cli/output/progress.ts"
import { pairs, table } from "../../../../cli/output/table.ts"
import { hexDump } from "../../../../cli/output/hex-dump.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"

const plain = styleFor({}, {})
const coloured = styleFor({ isTTY: true }, {})

test("colours are for terminals, and for those who want them", () => {
  assert.ok(wantsColour({ isTTY: true }, {}))
  assert.ok(!wantsColour({ isTTY: false }, {}))
  assert.ok(!wantsColour({}, { TERM: "xterm" }))
  assert.ok(!wantsColour({ isTTY: true }, { NO_COLOR: "1" }))
  assert.ok(wantsColour({ isTTY: true }, { NO_COLOR: "" }))
  assert.ok(!wantsColour({ isTTY: true }, { TERM: "dumb" }))
  assert.ok(wantsColour({}, { FORCE_COLOR: "1" }))
  assert.ok(!wantsColour({}, { FORCE_COLOR: "0" }))
  assert.equal(plain.red("x"), "x")
  assert.equal(coloured.red("x"), "\x1b[31mx\x1b[39m")
})

test("numbers as people read them", () => {
  assert.equal(formatCount(1234567.8), "1,234,568")
  assert.equal(formatRate(812 * 2 ** 20), "812 MiB/s")
  const seconds: [number, string][] = [
    [0.04, "0.0 s"],
    [0.83, "0.8 s"],
    [9.96, "10 s"],
    [59.4, "59 s"],
    [59.6, "1:00"],
    [187, "3:07"],
    [3723, "1:02:03"],
    [Infinity, "-"],
  ]
  for (const [value, text] of seconds) assert.equal(formatSeconds(value), text)
  const latencies: [number, string][] = [
    [0.0005, "0.5 µs"],
    [0.085, "85 µs"],
    [1.238, "1.24 ms"],
    [12.38, "12.4 ms"],
    [123.8, "124 ms"],
    [2100, "2.10 s"],
  ]
  for (const [value, text] of latencies) assert.equal(formatLatency(value), text)
})

describe("tables", () => {
  const columns = [{ title: "NAME" }, { title: "SIZE", align: "right" }] as const

  test("columns are as wide as their widest cell; nothing trails", () => {
    assert.deepEqual(
      table(
        [...columns, { title: "NOTE" }],
        [
          ["a", "10 GiB"],
          ["longer", "1", "x"],
        ],
        plain,
      ),
      ["NAME      SIZE  NOTE", "a       10 GiB", "longer       1  x"],
    )
  })

  test("colours take no room", () => {
    const lines = table(columns, [[coloured.red("red"), "1"]], coloured)
    assert.deepEqual(lines.map(widthOf), [10, 10])
  })

  test("names and values", () => {
    assert.deepEqual(
      pairs(
        [
          ["a", "1"],
          ["long", "2"],
          ["", "3"],
        ],
        plain,
      ),
      ["  a     1", "  long  2", "        3"],
    )
  })
})

describe("progress", () => {
  const state = { doneBytes: 2.5 * 2 ** 30, totalBytes: 10 * 2 ** 30, bytesPerSecond: 512 * 2 ** 20 }

  test("a bar, amounts, rate and what is left", () => {
    assert.equal(
      progressLine("copying", state, 100, plain),
      "copying  ████████░░░░░░░░░░░░░░░░░░░░░░░░   25 %  2.5 GiB of 10 GiB  512 MiB/s  15 s left",
    )
  })

  test("never wider than the terminal", () => {
    for (let columns = 45; columns < 120; columns++) {
      const width = widthOf(progressLine("verifying", state, columns, coloured))
      assert.ok(width < columns, `${width} of ${columns}`)
    }
  })

  test("the ends", () => {
    assert.match(
      progressLine("copying", { ...state, doneBytes: 0, bytesPerSecond: 0 }, 100, plain),
      /░ {4}0 % .* - left$/,
    )
    assert.match(
      progressLine("copying", { ...state, doneBytes: 10 * 2 ** 30 }, 100, plain),
      /█ {2}100 % .*MiB\/s$/,
    )
    assert.match(
      progressLine("copying", { doneBytes: 0, totalBytes: 0, bytesPerSecond: 0 }, 100, plain),
      /100 %/,
    )
  })

  test("the rate is that of the last seconds", async () => {
    const clock = new VirtualClock()
    const meter = new RateMeter(clock)
    assert.equal(meter.update(0), 0)
    for (let second = 1; second <= 20; second++) {
      await clock.advance(1000)
      const rate = meter.update(second <= 10 ? second * 100 : 1000 + (second - 10) * 10)
      if (second === 10) assert.equal(rate, 100)
      if (second === 20) assert.equal(rate, 10)
    }
  })

  test("a terminal's line is drawn now and then, and taken away; elsewhere nothing is", async () => {
    const clock = new VirtualClock()
    for (const [isTTY, expected] of [
      [true, ["\rone\x1b[K", "\rthree\x1b[K", "\r\x1b[K"]],
      [false, []],
    ] as const) {
      const written: string[] = []
      const line = new LiveLine({ isTTY, write: (text) => written.push(text) }, clock)
      line.update(() => "one")
      line.update(() => assert.fail("too early"))
      await clock.advance(100)
      line.update(() => "three")
      line.clear()
      line.clear()
      assert.deepEqual(written, expected)
    }
  })
})

test("hex dumps", () => {
  assert.deepEqual(hexDump(Buffer.from("sanlet\x00\xff and more bytes", "latin1")), [
    "  0000  73 61 6e 6c 65 74 00 ff 20 61 6e 64 20 6d 6f 72  |sanlet.. and mor|",
    "  0010  65 20 62 79 74 65 73                             |e bytes|",
  ])
})
