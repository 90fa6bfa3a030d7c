import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"

/**
 * Where what must outlive a restart is kept (XDG Base Directory Specification): $XDG_STATE_HOME/sanlet, or
 * ~/.local/state/sanlet. A relative XDG_STATE_HOME counts as none, as the specification says.
 */
export function stateFolder(env: Readonly<Record<string, string | undefined>>): string {
  const given = env["XDG_STATE_HOME"]
  return join(given && isAbsolute(given) ? given : join(homedir(), ".local", "state"), "sanlet")
}
