/** The few colours there are; plain text where nobody would see them. */
export interface Style {
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

/** Colours for a terminal, unless NO_COLOR or TERM=dumb says no; FORCE_COLOR says yes (no-color.org). */
export function wantsColour(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  if (env["NO_COLOR"]) return false
  if (env["FORCE_COLOR"] && env["FORCE_COLOR"] !== "0") return true
  return stream.isTTY === true && env["TERM"] !== "dumb"
}

export function styleFor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): Style {
  const colour = wantsColour(stream, env)
  const paint = (on: number, off: number) => (text: string) =>
    colour ? `\x1b[${on}m${text}\x1b[${off}m` : text
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31, 39),
    green: paint(32, 39),
    yellow: paint(33, 39),
    cyan: paint(36, 39),
  }
}

// oxlint-disable-next-line no-control-regex -- escape sequences are what it is about
const ESCAPES = /\x1b\[[0-9;]*m/g

/** Columns a text takes, colours aside. */
export const widthOf = (text: string): number => Array.from(text.replace(ESCAPES, "")).length

/** What comes from a peer, made harmless for a terminal. */
// oxlint-disable-next-line no-control-regex -- control characters are what it is about
export const printable = (text: string): string => text.replace(/[\x00-\x1f\x7f-\x9f]/g, "?")
