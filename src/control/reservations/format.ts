import {
  isAllRegistrants,
  isPersistentType,
  type PersistentReservation,
  type PersistentState,
  type Registration,
} from "../../scsi/sam/persistent-state.ts"
import { nexusName } from "../../scsi/sam/nexus.ts"
import { crc32c } from "../../wire/crc32c.ts"

const VERSION = 1
const KEY = /^[0-9a-f]{16}$/

/** The text of an activated state: one line of JSON, and a line with the CRC32C of the first. */
export function encodeState({ registrations, reservation }: PersistentState): string {
  const all = [...registrations]
  const body = JSON.stringify({
    version: VERSION,
    registrations: all.map(([, { key, initiatorPortName, targetPort }]) => ({
      key: key.toString(16).padStart(16, "0"),
      initiatorPort: initiatorPortName,
      targetPort: targetPort.targetPortName,
      relativeTargetPort: targetPort.relativeTargetPort,
    })),
    ...(reservation && {
      reservation: {
        type: reservation.type,
        // By its place in the list.
        ...(reservation.holder !== undefined && {
          holder: all.findIndex(([name]) => name === reservation.holder),
        }),
      },
    }),
  })
  return `${body}\n${sum(body)}\n`
}

const sum = (line: string): string => crc32c(new TextEncoder().encode(line)).toString(16).padStart(8, "0")

/** The state a text tells of; undefined: it isn't such a text, or not whole. */
export function decodeState(text: string): PersistentState | undefined {
  const [body = "", crc, end, ...more] = text.split("\n")
  if (crc !== sum(body) || end !== "" || more.length > 0) return undefined
  try {
    return stateOf(JSON.parse(body))
  } catch {
    return undefined
  }
}

interface Encoded {
  readonly version: unknown
  readonly registrations: readonly Readonly<Record<string, unknown>>[]
  readonly reservation?: { readonly type: number; readonly holder?: number }
}

function stateOf(value: unknown): PersistentState | undefined {
  const { version, registrations: encoded, reservation } = value as Encoded
  if (version !== VERSION) return undefined
  const registrations = new Map<string, Registration>()
  for (const each of encoded) {
    const registration = registrationOf(each)
    if (registration === undefined) return undefined
    registrations.set(nexusName(registration.initiatorPortName, registration.targetPort), registration)
  }
  const state = { registrations, activated: true }
  if (reservation === undefined) return state
  const held = reservationOf(reservation, [...registrations.keys()])
  return held && { ...state, reservation: held }
}

function registrationOf({
  key,
  initiatorPort,
  targetPort,
  relativeTargetPort,
}: Readonly<Record<string, unknown>>): Registration | undefined {
  if (typeof key !== "string" || !KEY.test(key)) return undefined
  if (typeof initiatorPort !== "string" || typeof targetPort !== "string") return undefined
  if (typeof relativeTargetPort !== "number") return undefined
  return {
    key: BigInt(`0x${key}`),
    initiatorPortName: initiatorPort,
    targetPort: { targetPortName: targetPort, relativeTargetPort },
  }
}

function reservationOf(
  { type, holder: place }: { type: number; holder?: number },
  names: readonly string[],
): PersistentReservation | undefined {
  if (!isPersistentType(type)) return undefined
  if (isAllRegistrants(type)) return names.length > 0 ? { type } : undefined
  const holder = place === undefined ? undefined : names[place]
  return holder === undefined ? undefined : { type, holder }
}
