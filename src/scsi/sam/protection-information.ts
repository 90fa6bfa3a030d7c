/** The protection information of a logical unit's blocks, as INQUIRY data tells of it. */
export interface ProtectionInformation {
  /** Type 1, 2 or 3 protection (SBC-3 §4.22.2). */
  readonly type: 1 | 2 | 3
  /** APP_CHK: there are commands that say what application tags should be. */
  readonly checksApplicationTag: boolean
}
