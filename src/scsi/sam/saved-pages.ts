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

/** What was saved last; undefined: nothing. Where nobody understands the record, that of every page is damaged. */
function savedValues({ records }: LogicalUnit): PageValues | "damaged" | undefined {
  const record = records?.get(RECORD)
  if (record === undefined) return undefined
  try {
    const values: unknown = JSON.parse(new TextDecoder().decode(record))
    const pages = typeof values === "object" && values !== null && !Array.isArray(values)
    return pages ? (values as PageValues) : "damaged"
  } catch {
    return "damaged"
  }
}

/** The saved values of a page; undefined where there are none. */
export function savedPage(unit: LogicalUnit, page: ModePage): Uint8Array | undefined {
  const saved = savedOrDamaged(unit, page)
  if (saved !== "damaged") return saved
  return merged(unit, page, page.cautious?.(unit) ?? page.defaults(unit))
}

function savedOrDamaged(unit: LogicalUnit, page: ModePage): Uint8Array | "damaged" | undefined {
  if (!isSaveable(unit, page)) return undefined
  const all = savedValues(unit)
  if (all === undefined || all === "damaged") return all
  const digits = all[pageName(page)]
  if (digits === undefined) return undefined
  const saved = Buffer.from(typeof digits === "string" ? digits : "", "hex")
  if (saved.length !== page.bytes) return "damaged"
  const values = merged(unit, page, saved)
  try {
    page.check?.(unit, values, 0)
    return values
  } catch {
    return "damaged"
  }
}

/** What of the values can be changed, in the page as it is otherwise: another release may know other fixed bits. */
function merged(unit: LogicalUnit, page: ModePage, values: Uint8Array): Uint8Array {
  const changeable = page.changeable!(unit)
  return page.defaults(unit).map((byte, i) => (byte & ~changeable[i]!) | (values[i]! & changeable[i]!))
}

/** Rejects with SanletError ERR_STATE_FOLDER. */
export async function savePages(unit: LogicalUnit): Promise<void> {
  const pages = unit.modePages.filter((page) => isSaveable(unit, page))
  const values = pages.map((page) => [pageName(page), Buffer.from(page.current(unit)).toString("hex")])
  await unit.records!.put(RECORD, new TextEncoder().encode(JSON.stringify(Object.fromEntries(values))))
}

/** The names of pages that were saved but can't be read. What they may have protected stays protected: ModePage.cautious. */
export const damagedPages = (unit: LogicalUnit): string[] =>
  unit.modePages.filter((page) => savedOrDamaged(unit, page) === "damaged").map(pageName)

/** Makes the saved pages the current ones: at power on, and by a reset (SPC-4 §6.9). */
export function restorePages(unit: LogicalUnit): void {
  for (const page of unit.modePages) {
    const values = savedPage(unit, page)
    if (values) void page.select?.(unit, values)
  }
}
