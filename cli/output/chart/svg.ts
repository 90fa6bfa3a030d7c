/** SVG as text, made by a few functions: no library, no script, nothing from elsewhere. */

/** A drawing with its size in px; it stands in a page of its own, in another drawing, or in HTML. */
export interface Drawing {
  readonly width: number
  readonly height: number
  readonly parts: readonly string[]
}

export const escapeXml = (text: string): string =>
  text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;")

const number = (value: number): string => String(Math.round(value * 10) / 10)

export interface TextOptions {
  readonly kind?: string
  readonly anchor?: "start" | "middle" | "end"
}

export function text(
  x: number,
  y: number,
  content: string,
  { kind = "", anchor = "start" }: TextOptions = {},
): string {
  const end = anchor === "start" ? "" : ` text-anchor="${anchor}"`
  return `<text x="${number(x)}" y="${number(y)}"${kind && ` class="${kind}"`}${end}>${escapeXml(content)}</text>`
}

/** Runs of text of different kinds, one behind the other. */
export function runs(
  x: number,
  y: number,
  parts: readonly (readonly [content: string, kind: string])[],
  anchor: "start" | "end" = "start",
): string {
  const spans = parts.map(
    ([content, kind]) => `<tspan${kind && ` class="${kind}"`}>${escapeXml(content)}</tspan>`,
  )
  return `<text x="${number(x)}" y="${number(y)}" text-anchor="${anchor}" xml:space="preserve">${spans.join("")}</text>`
}

/** `title`: what is told when the pointer rests on it. */
export function rect(
  x: number,
  y: number,
  width: number,
  height: number,
  { kind, title, radius = 2 }: { kind: string; title?: string; radius?: number },
): string {
  const shape = `<rect x="${number(x)}" y="${number(y)}" width="${number(Math.max(0, width))}" height="${number(height)}" rx="${radius}" class="${kind}"`
  return title === undefined ? `${shape}/>` : `${shape}><title>${escapeXml(title)}</title></rect>`
}

export const line = (x1: number, y1: number, x2: number, y2: number, kind: string): string =>
  `<line x1="${number(x1)}" y1="${number(y1)}" x2="${number(x2)}" y2="${number(y2)}" class="${kind}"/>`

export function circle(x: number, y: number, radius: number, kind: string, title?: string): string {
  const shape = `<circle cx="${number(x)}" cy="${number(y)}" r="${number(radius)}" class="${kind}"`
  return title === undefined ? `${shape}/>` : `${shape}><title>${escapeXml(title)}</title></circle>`
}

/** From the lowest to the highest value there was, beside a bar. */
export const whisker = (x1: number, x2: number, y: number): string =>
  line(x1, y, x2, y, "whisker") +
  line(x1, y - 3, x1, y + 3, "whisker") +
  line(x2, y - 3, x2, y + 3, "whisker")

export const group = (x: number, y: number, parts: readonly string[]): string =>
  `<g transform="translate(${number(x)} ${number(y)})">\n${parts.join("\n")}\n</g>`

/** The drawing as an element of a page; it grows and shrinks with its place. `label`: for who can't see it. */
export const element = ({ width, height, parts }: Drawing, label: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${number(width)} ${number(height)}" role="img" aria-label="${escapeXml(label)}">\n${parts.join("\n")}\n</svg>`

/** The drawing as a file. */
export function file({ width, height, parts }: Drawing, title: string, style: string): string {
  const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${number(width)} ${number(height)}" width="${number(width)}" height="${number(height)}" role="img">`
  return `${open}\n<title>${escapeXml(title)}</title><style>${style}</style>\n${parts.join("\n")}\n</svg>\n`
}

/** Round steps from 0 to at least `end`, about `count` of them: 1, 2, 2.5 or 5 times a power of ten. */
export function ticks(end: number, count: number): number[] {
  if (!(end > 0)) return [0]
  const rough = end / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10)
  return Array.from({ length: Math.ceil(end / step - 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(6)))
}

/** Powers of ten, and 2 and 5 times these if they are few, that lie within [low, high]. */
export function logTicks(low: number, high: number): number[] {
  const factors = high / low > 100 ? [1] : high / low > 12 ? [1, 3] : [1, 2, 5]
  const found: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(6))
      if (tick >= low * 0.999 && tick <= high * 1.001) found.push(tick)
    }
  }
  return found
}
