import type { LogicalUnit } from "./logical-unit.ts"
import type { ModePage } from "./mode-page.ts"

/** A mode page's values, as ModePage has them, under the name pageName gives it. */
export type PageValues = ReadonlyMap<string, Uint8Array>

/** Where a logical unit's saved mode pages are: whoever makes the unit knows a place that lasts. */
export interface SavedPages {
  /** What was saved last. */
  readonly values: PageValues
  /** Replaces all of it. Resolves when it is stable; after a failure `values` are those that are. */
  save(values: PageValues): Promise<void>
}

export const pageName = ({ code, subpage = 0 }: ModePage): string => `${hex(code)}/${hex(subpage)}`

const hex = (byte: number): string => byte.toString(16).padStart(2, "0")

/** Whether MODE SELECT with SP saves the page: where pages are saved, those with something to change. */
export const isSaveable = (unit: LogicalUnit, page: ModePage): boolean =>
  unit.savedPages !== undefined && (page.changeable?.(unit).some((bits) => bits !== 0) ?? false)

/** The saved values of a page; undefined where there are none that fit. */
export function savedPage(unit: LogicalUnit, page: ModePage): Uint8Array | undefined {
  const saved = unit.savedPages?.values.get(pageName(page))
  if (saved?.length !== page.bytes || !isSaveable(unit, page)) return undefined
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

export async function savePages(unit: LogicalUnit): Promise<void> {
  const pages = unit.modePages.filter((page) => isSaveable(unit, page))
  await unit.savedPages!.save(new Map(pages.map((page) => [pageName(page), page.current(unit)])))
}

/** Makes the saved pages the current ones: at power on, and by a reset (SPC-4 §6.9). */
export function restorePages(unit: LogicalUnit): void {
  for (const page of unit.modePages) {
    const values = savedPage(unit, page)
    if (values) void page.select?.(unit, values)
  }
}
