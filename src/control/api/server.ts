/** A logical unit that is being served. */
export interface ServedUnit {
  /** How to reach it from this machine: iscsi://host:port/target/lun. */
  readonly url: string
  readonly target: string
  readonly lun: number
  readonly type: "disk" | "cdrom"
  /** What its data is kept in, for people. */
  readonly device: string
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly readOnly: boolean
  readonly serial: string
  readonly naa: string
  /** Initiators have to prove who they are (CHAP). */
  readonly authenticated: boolean
}

export interface ServedPortal {
  /** "192.0.2.1:3260", "[2001:db8::1]:3260". */
  readonly address: string
  readonly group: number
  /** What initiators may connect over. */
  readonly transports: readonly ("tcp" | "iser")[]
}

/** What a running server tells of itself. */
export interface ServerStatus {
  readonly units: readonly ServedUnit[]
  readonly portals: readonly ServedPortal[]
}
