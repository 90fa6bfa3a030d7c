/** TYPE of a persistent reservation (SPC-4 §6.15.3.4); its scope is always the logical unit. */
export const PersistentType = {
  writeExclusive: 1,
  exclusiveAccess: 3,
  writeExclusiveRegistrantsOnly: 5,
  exclusiveAccessRegistrantsOnly: 6,
  writeExclusiveAllRegistrants: 7,
  exclusiveAccessAllRegistrants: 8,
} as const
export type PersistentType = (typeof PersistentType)[keyof typeof PersistentType]
