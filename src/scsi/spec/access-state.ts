/** ASYMMETRIC ACCESS STATE (SPC-4 table 307), by the standard's names. Logical block dependent (4h) wants referrals. */
export const accessStateCodes = {
  "active/optimized": 0x0,
  "active/non-optimized": 0x1,
  standby: 0x2,
  unavailable: 0x3,
  offline: 0xe,
  transitioning: 0xf,
} as const

/** Target port asymmetric access state (SPC-4 §5.16.2.4). Offline is a secondary state: of ports, whatever group they are in. */
export type AccessState = keyof typeof accessStateCodes

/** Those a target port group stays in until it is changed. */
export type LastingAccessState = Exclude<AccessState, "transitioning">

export const lastingAccessStates = Object.keys(accessStateCodes).filter(
  (state) => state !== "transitioning",
) as LastingAccessState[]

/** STATUS CODE of a target port group descriptor (SPC-4 table 308): what has brought its state about. */
export const AccessStatus = { none: 0x00, explicit: 0x01, implicit: 0x02 } as const
export type AccessStatus = (typeof AccessStatus)[keyof typeof AccessStatus]
