import type { Completion } from "../../../base/completion.ts"
import { isProtected, type ProtectedDevice } from "../../../backstore/protection/protected-device.ts"
import {
  type GeneratedTags,
  PROTECTION_BYTES,
  type ProtectionChecks,
  type ProtectionType,
} from "../../../backstore/protection/tuple.ts"
import type { ProtectionInformation } from "../../sam/protection-information.ts"
import { OperationCode } from "../../spec/operation-code.ts"
import type { DiskUnit } from "../disk-unit.ts"
import type { MediumUser } from "../medium.ts"

/** Application tags of blocks that come without protection information, by ATO (SBC-3 §5.33, WRPROTECT 000b). */
const APPLICATION_TAG_OF_INITIATORS = 0xffff
const APPLICATION_TAG_OF_OURS = 0

/** A disk's protection information: its medium in interleaved blocks, by logical block address. */
export class DiskProtection implements ProtectionInformation {
  readonly type: ProtectionType
  readonly device: ProtectedDevice
  readonly #unit: DiskUnit

  constructor(unit: DiskUnit, device: ProtectedDevice) {
    this.type = device.protectionType
    this.device = device
    this.#unit = unit
    device.generatedApplicationTag = () => this.applicationTag
  }

  /** Only 32-byte CDBs, which are for type 2 alone, say what it should be. */
  get checksApplicationTag(): boolean {
    return this.type === 2 && this.#unit.commandTable.ofOpcode(OperationCode.variableLength) !== undefined
  }

  /** Of blocks that come without: one that disables checking where it is the initiators' (ATO). */
  get applicationTag(): number {
    return this.#unit.control.applicationTagOwner ? APPLICATION_TAG_OF_INITIATORS : APPLICATION_TAG_OF_OURS
  }

  /** What is written beside generated guards; `referenceTagOffset`: see ProtectionChecks. */
  tags(referenceTagOffset: number): GeneratedTags {
    return {
      applicationTag: this.applicationTag,
      referenceTagOffset: this.type === 3 ? undefined : referenceTagOffset,
    }
  }

  /** Bytes of a block interleaved with its protection information. */
  get interleavedBytes(): number {
    return this.device.blockBytes + PROTECTION_BYTES
  }

  read(lba: number, into: Uint8Array, checks: ProtectionChecks, task: MediumUser): Promise<void> {
    return this.#unit.medium.readBy(lba * this.#unit.blockBytes, task, () =>
      this.device.readProtected(lba, into, checks, task),
    )
  }

  /** Checks interleaved blocks and writes them. */
  write(lba: number, from: Uint8Array, checks: ProtectionChecks, fua: boolean, task: MediumUser): Completion {
    const { medium, blockBytes } = this.#unit
    return medium.changeBy(lba * blockBytes, this.dataBytes(from), task, () =>
      this.device.writeProtected(lba, from, checks, fua || medium.writeThrough, task),
    )
  }

  /** The same for whoever runs within `alone`. */
  writeHeld(
    lba: number,
    from: Uint8Array,
    checks: ProtectionChecks,
    fua: boolean,
    task: MediumUser,
  ): Promise<void> {
    const { medium, blockBytes } = this.#unit
    return medium.changeHeldBy(lba * blockBytes, this.dataBytes(from), task, () =>
      this.device.writeProtected(lba, from, checks, fua || medium.writeThrough, task),
    )
  }

  /** Runs `work` while nobody else changes the blocks. */
  alone(lba: number, interleaved: Uint8Array, task: MediumUser, work: () => Promise<void>): Promise<void> {
    const { medium, blockBytes } = this.#unit
    return medium.alone(lba * blockBytes, this.dataBytes(interleaved), task, work)
  }

  /** Checks Data-Out that isn't written as it is. */
  check(lba: number, interleaved: Uint8Array, checks: ProtectionChecks, task: MediumUser): Promise<void> {
    return this.#unit.medium.readBy(lba * this.#unit.blockBytes, task, () =>
      this.device.check(lba, interleaved, checks),
    )
  }

  /** Bytes of interleaved blocks without their protection information. */
  dataBytes(interleaved: Uint8Array): number {
    return (interleaved.length / this.interleavedBytes) * this.device.blockBytes
  }
}

/** Undefined: the device keeps none. */
export const protectionOf = (unit: DiskUnit): DiskProtection | undefined =>
  isProtected(unit.device) ? new DiskProtection(unit, unit.device) : undefined
