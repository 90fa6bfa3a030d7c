/** DESCRIPTOR TYPE CODE of EXTENDED COPY's descriptors (SPC-4 §6.4.4): those we know. */
export const CopyDescriptor = {
  blockToBlock: 0x02,
  blockToBlockWithOffset: 0x0a,
  identification: 0xe4,
} as const

/** CSCD descriptor ID of the logical unit the command was sent to (SPC-4 §6.4.6.1). */
export const ADDRESSED_UNIT = 0xffff

/** LIST ID USAGE (SPC-4 §6.4.3.2). */
export const ListIdUsage = { hold: 0b00, discard: 0b10, none: 0b11 } as const

/** ROD TYPE (SPC-4 §5.17.6.2): those we know. */
export const RodType = { pointInTimeChangeVulnerable: 0x0080_0001, blockDeviceZero: 0xffff_0001 } as const

/** ROD TOKEN LENGTH, and the token's own length with the header (SPC-4 §5.17.6.4). */
export const ROD_TOKEN_LENGTH = 0x01f8
export const ROD_TOKEN_BYTES = 8 + ROD_TOKEN_LENGTH

/** COPY OPERATION STATUS (SPC-4 §6.24). */
export const CopyOperationStatus = {
  completed: 0x01,
  completedWithErrors: 0x02,
  completedWithPartialToken: 0x03,
  inForeground: 0x11,
  inBackground: 0x12,
  terminated: 0x60,
} as const

/** COPY COMMAND STATUS of RECEIVE COPY STATUS (LID1) (SPC-4 §6.25). */
export const CopyCommandStatus = { inProgress: 0x00, completed: 0x01, completedWithErrors: 0x02 } as const

/** TRANSFER COUNT UNITS (SPC-4 §6.24). */
export const TransferCountUnits = { bytes: 0x00, kibibytes: 0x01, destinationBlocks: 0xf1 } as const
