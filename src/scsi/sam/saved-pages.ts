import type { LogicalUnit } from "./logical-unit.ts"
import type { ModePage } from "./mode-page.ts"

const RECORD = "mode-pages"

/** The record: a page's values, as ModePage has them, in hexadecimal digits under the page's name, in JSON. */
type PageValues = Readonly<Record<string, unknown>>

const pageName = ({ code, subpage = 0 }: ModePage): string => `${hex(code)}/${hex(subpage)}`

const hex = (byte: number): string => byte.toString(16).padStart(2, "0")

/** Whether MODE SELECT with SP saves the page: where pages are saved, those with something to change. */
export const isSaveable = (unit: LogicalUnit, page: ModePage): boolean =>
  unit.records !== undefined && (page.changeable?.(unit).some((bits) => bits !== 0) ?? false)

/** What was saved last. A record nobody understands counts as none. */
function savedValues({ records }: LogicalUnit): PageValues {
  const record = records?.get(RECORD)
  if (record === undefined) return {}
  try {
    const values: unknown = JSON.parse(new TextDecoder().decode(record))
    return typeof values === "object" && values !== null ? (values as PageValues) : {}
  } catch {
    return {}
  }
}

/** The saved values of a page; undefined where there are none that fit. */
export function savedPage(unit: LogicalUnit, page: ModePage): Uint8Array | undefined {
  if (!isSaveable(unit, page)) return undefined
  const saved = Buffer.from(String(savedValues(unit)[pageName(page)]), "hex")
  if (saved.length !== page.bytes) return undefined
  // Another release may know other fixed bits.
  const changeable = page.changeable!(unit)
  const values = page.defaults(unit).map((byte, i) => (byte & ~changeable[i]!) | (saved[i]! & changeable[i]!))
  try {
    page.check?.(unit, values, 0)
    return values
  } catch {
    return undefined
  }
}

/** Rejects with SanletError ERR_STATE_FOLDER. */
export async function savePages(unit: LogicalUnit): Promise<void> {
  const pages = unit.modePages.filter((page) => isSaveable(unit, page))
  const values = pages.map((page) => [pageName(page), Buffer.from(page.current(unit)).toString("hex")])
  await unit.records!.put(RECORD, new TextEncoder().encode(JSON.stringify(Object.fromEntries(values))))
}

/** Makes the saved pages the current ones: at power on, and by a reset (SPC-4 §6.9). */
export function restorePages(unit: LogicalUnit): void {
  for (const page of unit.modePages) {
    const values = savedPage(unit, page)
    if (values) void page.select?.(unit, values)
  }
}
