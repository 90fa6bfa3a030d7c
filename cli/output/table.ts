import { type Style, widthOf } from "./style.ts"

export interface Column {
  readonly title: string
  /** Numbers are easier to compare when they end in one place. */
  readonly align?: "left" | "right"
}

/** Lines of a table: a row of titles, then the rows, columns two blanks apart. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style,
): string[] {
  const widths = columns.map((column, i) =>
    Math.max(widthOf(column.title), ...rows.map((row) => widthOf(row[i] ?? ""))),
  )
  const line = (cells: readonly string[]) =>
    columns
      .map((column, i) => pad(cells[i] ?? "", widths[i] ?? 0, column.align ?? "left"))
      .join("  ")
      .trimEnd()
  const titles = columns.map(({ title }) => style.bold(title))
  return [line(titles), ...rows.map(line)]
}

/** Names and values beneath one another: "  Serial   1234". */
export function pairs(
  entries: readonly (readonly [string, string])[],
  style: Style,
  indent = "  ",
): string[] {
  const width = Math.max(0, ...entries.map(([name]) => widthOf(name)))
  return entries.map(([name, value]) => `${indent}${style.dim(pad(name, width, "left"))}  ${value}`.trimEnd())
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const blanks = " ".repeat(Math.max(0, width - widthOf(text)))
  return align === "left" ? text + blanks : blanks + text
}
