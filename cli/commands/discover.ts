import { located } from "../../src/control/located.ts"
import { redactUrl } from "../../src/initiator/index.ts"
import { portalUrl } from "../arguments.ts"
import { initiatorFor, type LoginOptions } from "../initiator.ts"
import { printable } from "../output/style.ts"
import { table } from "../output/table.ts"
import type { Session } from "../session.ts"
import { print, printJson, tell } from "../terminal.ts"

/** The targets a portal tells of. */
export async function discover(
  url: string,
  options: LoginOptions & { json?: boolean },
  session: Session,
): Promise<void> {
  const { terminal, signal } = session
  const targets = await located(
    redactUrl(url),
    initiatorFor(options, session).discover(portalUrl(url), signal),
  )
  if (options.json) return printJson(terminal, { targets })
  if (targets.length === 0) return tell(terminal, "no targets for this initiator")
  const rows = targets.flatMap(({ name, addresses }) => {
    const portals = addresses.length > 0 ? addresses : [{ address: "(the address asked)", portalGroupTag: 1 }]
    return portals.map(({ address, portalGroupTag }, i) => [
      i === 0 ? printable(name) : "",
      printable(address),
      String(portalGroupTag),
    ])
  })
  const columns = [{ title: "TARGET" }, { title: "PORTAL" }, { title: "GROUP", align: "right" as const }]
  print(terminal, ...table(columns, rows, terminal.style))
}
