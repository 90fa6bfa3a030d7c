/** The name a value has in a table of constants, for logs and messages; unknown values are shown as numbers. */
export function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  for (const name in table) if (table[name] === value) return name
  return `0x${value.toString(16).padStart(2, "0")}`
}
