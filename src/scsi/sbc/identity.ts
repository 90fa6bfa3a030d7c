import { SanletError } from "../../base/errors.ts"
import { type Random, systemRandom } from "../../base/random.ts"
import {
  Association,
  CodeSet,
  type Designator,
  DesignatorType,
  type LogicalUnitIdentity,
} from "../sam/identity.ts"
import { deriveNames } from "../spc/index.ts"

/** Who a disk is. Two disks must never share a serial number or an NAA name: initiators would take them for one. */
export interface DiskIdentity {
  /** Up to 8 characters. Default "sanlet". */
  readonly vendor?: string
  /** Up to 16 characters. Default "disk". */
  readonly product?: string
  /** Up to 4 characters. Default "1". */
  readonly revision?: string
  /** Up to 252 characters. Default: a random one, not the same after a restart. */
  readonly serial?: string
  /** An NAA name as 16 or 32 hexadecimal digits. Default: derived from the serial number. */
  readonly naa?: string
}

/**
 * The identity with its defaults, and the designators made of it: the NAA name, and a T10 vendor ID one. Throws
 * SanletError ERR_DISK_IDENTITY for what doesn't fit its field.
 */
export function completeIdentity(
  identity: DiskIdentity = {},
  random: Random = systemRandom,
): LogicalUnitIdentity {
  const names = deriveNames(identity.serial ?? Buffer.from(random.fill(new Uint8Array(16))).toString("hex"))
  const naa = (identity.naa ?? names.naa).toLowerCase()
  if (!/^([0-9a-f]{16}){1,2}$/.test(naa)) {
    throw new SanletError(
      "ERR_DISK_IDENTITY",
      `an NAA name has 16 or 32 hexadecimal digits: "${naa}" has not`,
    )
  }
  const vendor = printable("vendor", identity.vendor ?? "sanlet", 8)
  const product = printable("product", identity.product ?? "disk", 16)
  const revision = printable("revision", identity.revision ?? "1", 4)
  const serial = printable("serial number", identity.serial ?? names.serial, 252)
  const designators = [naaDesignator(naa), t10Designator(vendor, product, serial)]
  return { vendor, product, revision, serial, designators }
}

const naaDesignator = (naa: string): Designator => ({
  association: Association.logicalUnit,
  type: DesignatorType.naa,
  codeSet: CodeSet.binary,
  bytes: Uint8Array.from(Buffer.from(naa, "hex")),
})

/** SPC-4 §7.8.6.4: vendor, product and serial number, as the standard recommends; at most 255 bytes of it. */
const t10Designator = (vendor: string, product: string, serial: string): Designator => ({
  association: Association.logicalUnit,
  type: DesignatorType.t10VendorId,
  codeSet: CodeSet.ascii,
  bytes: Uint8Array.from(
    Buffer.from(`${vendor.padEnd(8)}${product.padEnd(16)}${serial}`.slice(0, 255), "ascii"),
  ),
})

function printable(what: string, text: string, charactersMax: number): string {
  if (text.length >= 1 && text.length <= charactersMax && /^[ -~]*$/.test(text)) return text
  const wanted = `1 to ${charactersMax} printable ASCII characters`
  throw new SanletError("ERR_DISK_IDENTITY", `a ${what} has ${wanted}: "${text}" has not`)
}
