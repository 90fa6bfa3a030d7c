/** Who talks to whom: what identifies an I_T nexus (SAM-5 §4.8). */
export interface NexusIdentity {
  /** SCSI port name: for iSCSI "<iSCSI name>,i,0x<ISID>" (RFC 7143 §3.4.1 b). */
  readonly initiatorPortName: string
  /** SCSI device name of the initiator: for iSCSI its iSCSI name. */
  readonly initiatorName: string
  /** SCSI port name: for iSCSI "<iSCSI name>,t,0x<portal group tag>". */
  readonly targetPortName: string
  /** 1 to 65535: the relative target port identifier (SPC-4 §7.8.6.7). */
  readonly relativeTargetPort: number
}

/** An I_T nexus: lives from the login that makes it to the logout or loss that ends it. Compared by identity. */
export class Nexus {
  readonly identity: NexusIdentity

  constructor(identity: NexusIdentity) {
    this.identity = identity
  }
}
