import { checkChap } from "../../iscsi/login/chap.ts"
import { isIn } from "./reach.ts"
import type { Configuration, TargetConfiguration } from "./schema.ts"

/** What is allowed and yet seldom meant: secrets easily guessed, disks open to whoever reaches an address. */
export function configurationWarnings({ portals, targets, discovery }: Configuration): string[] {
  const chaps = [discovery?.chap, ...targets.map(({ chap }) => chap)]
  const weak = chaps.flatMap((chap) => (chap ? checkChap(chap.users, chap.outgoing) : []))
  const open = portals.filter(({ listen }) => !isLoopback(listen.host))
  const exposed = targets.filter(
    (target) => isUnguarded(target) && open.some(({ group }) => isIn(target, group)),
  )
  return [
    ...new Set(weak),
    ...exposed.map(
      ({ name }) =>
        `${name} has neither CHAP nor an access list: whoever reaches its portals can write to it`,
    ),
  ]
}

const isUnguarded = ({ chap, access }: TargetConfiguration): boolean =>
  !chap && !access?.initiators && !access?.allow

export const isLoopback = (host: string): boolean =>
  host === "::1" || host === "localhost" || host.startsWith("127.")
