/** ASSOCIATION of a designation descriptor (SPC-4 §7.8.6.1). */
export const Association = { logicalUnit: 0, targetPort: 1, targetDevice: 2 } as const
export type Association = (typeof Association)[keyof typeof Association]

/** DESIGNATOR TYPE (SPC-4 §7.8.6.1). */
export const DesignatorType = {
  vendorSpecific: 0,
  t10VendorId: 1,
  eui64: 2,
  naa: 3,
  relativeTargetPort: 4,
  targetPortGroup: 5,
  logicalUnitGroup: 6,
  scsiName: 8,
} as const
export type DesignatorType = (typeof DesignatorType)[keyof typeof DesignatorType]

/** CODE SET (SPC-4 §7.8.6.1). */
export const CodeSet = { binary: 1, ascii: 2, utf8: 3 } as const
export type CodeSet = (typeof CodeSet)[keyof typeof CodeSet]

/** A name of a logical unit, a target port or a target device, as VPD page 83h carries it. */
export interface Designator {
  readonly association: Association
  readonly type: DesignatorType
  readonly codeSet: CodeSet
  /** 1 to 255 bytes. */
  readonly bytes: Uint8Array
}

/** Who a logical unit is, for as long as its data lives: nothing here may change over restarts. */
export interface LogicalUnitIdentity {
  /** T10 VENDOR IDENTIFICATION: up to 8 printable ASCII characters. */
  readonly vendor: string
  /** PRODUCT IDENTIFICATION: up to 16 printable ASCII characters. */
  readonly product: string
  /** PRODUCT REVISION LEVEL: up to 4 printable ASCII characters. */
  readonly revision: string
  /** UNIT SERIAL NUMBER: up to 252 printable ASCII characters. */
  readonly serial: string
  /** Of the logical unit, the best first: an NAA, an EUI-64, a T10 vendor ID based one. */
  readonly designators: readonly Designator[]
}
