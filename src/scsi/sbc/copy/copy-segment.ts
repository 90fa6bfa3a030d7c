import type { LogicalUnit } from "../../sam/logical-unit.ts"
import { Asc, type SenseDetail, SenseError, SenseKey } from "../../spec/sense.ts"
import { ADDRESSED_UNIT } from "../../spec/third-party-copy.ts"
import type { DiskUnit } from "../disk-unit.ts"
import { CopyEnd, CopyEndError } from "./copy-end.ts"
import { copyRun } from "./copy-run.ts"
import { copyManagerOf } from "./copy-manager.ts"
import { type Cscd, unitNamed } from "./cscd.ts"
import type { CopyOperation } from "./operation.ts"
import type { CopyParameters } from "./parameter-list.ts"
import type { Segment, SegmentPlace } from "./segment.ts"

/** A CSCD, found. */
interface Found {
  readonly unit: DiskUnit
  /** Absent: the unit the command was sent to, without a descriptor. */
  readonly cscd: Cscd | undefined
}

/** Carries out the segments in their order (SPC-4 §5.17.7.2). Rejects with SenseError COPY ABORTED. */
export async function copySegments(
  operation: CopyOperation,
  addressed: DiskUnit,
  { cscds, segments }: CopyParameters,
): Promise<void> {
  // A unit is looked for once: when it goes away the operation ends with it.
  const units = new Map<Cscd, LogicalUnit | undefined>()
  const named = (cscd: Cscd): LogicalUnit | undefined => {
    if (!units.has(cscd)) units.set(cscd, unitNamed(operation.nexus, cscd.designator))
    return units.get(cscd)
  }
  for (const [number, segment] of segments.entries()) {
    operation.segments = number + 1
    const last = number === segments.length - 1
    await new SegmentCopy({ operation, addressed, cscds, named }, segment, number).run(last)
  }
}

/** What all segments of a command have in common. */
interface Surroundings {
  readonly operation: CopyOperation
  readonly addressed: DiskUnit
  readonly cscds: readonly Cscd[]
  readonly named: (cscd: Cscd) => LogicalUnit | undefined
}

class SegmentCopy {
  readonly #surroundings: Surroundings
  readonly #segment: Segment
  readonly #number: number

  constructor(surroundings: Surroundings, segment: Segment, number: number) {
    this.#surroundings = surroundings
    this.#segment = segment
    this.#number = number
  }

  async run(last: boolean): Promise<void> {
    const { operation } = this.#surroundings
    const { source, destination } = this.#segment
    const from = this.#find(source)
    const to = this.#find(destination)
    const { lengthBytes, rest } = this.#length(from, to, last)
    const sourceBytes = this.#placeOf(source, from.unit, lengthBytes)
    const destinationBytes = this.#placeOf(destination, to.unit, lengthBytes)
    const before = operation.bytes
    try {
      await copyRun(operation, {
        source: new CopyEnd(from.unit, "source", operation),
        sourceBytes,
        destination: new CopyEnd(to.unit, "destination", operation),
        destinationBytes,
        lengthBytes,
        rest,
      })
    } catch (error) {
      if (!(error instanceof CopyEndError)) throw error
      throw this.#endFailed(error, error.role === "source" ? from : to, {
        written: operation.bytes - before,
        wanted: lengthBytes,
        blockBytes: to.unit.blockBytes,
      })
    }
  }

  /** Throws SenseError UNREACHABLE COPY TARGET and the like. */
  #find(place: SegmentPlace): Found {
    const { cscdId, cscdIdAt } = place
    const { addressed, cscds } = this.#surroundings
    if (cscdId === ADDRESSED_UNIT) return { unit: addressed, cscd: undefined }
    const cscd = cscds[cscdId]
    if (cscd === undefined)
      throw this.#wrong(Asc.unreachableCopyTarget, "there is no such CSCD descriptor", cscdIdAt)
    const named = this.#surroundings.named(cscd)
    const unit = named && copyManagerOf(named)?.unit
    const at = { field: { in: "parameters", byte: cscd.at } } as const
    if (named === undefined)
      throw this.#aborted(Asc.unreachableCopyTarget, "no logical unit has this name", at)
    if (unit === undefined || cscd.peripheralDeviceType !== unit.peripheralDeviceType) {
      throw this.#aborted(Asc.incorrectCopyTargetDeviceType, "the unit is of another device type", at)
    }
    if (cscd.blockBytes !== 0 && cscd.blockBytes !== unit.blockBytes) {
      const field = { in: "parameters", byte: cscd.at + 29 } as const
      const message = `the unit's blocks have ${unit.blockBytes} bytes, not ${cscd.blockBytes}`
      throw this.#aborted(Asc.invalidFieldInParameterList, message, { field })
    }
    return { unit, cscd }
  }

  /**
   * How much is moved, and what becomes of a part of a block (SPC-4 table 116). What CAT keeps for a later segment is not carried on:
   * it is UNEXPECTED INEXACT SEGMENT, but for the last one, where it would be thrown away.
   */
  #length(from: Found, to: Found, last: boolean): { lengthBytes: number; rest: "kept" | "zeroes" } {
    const { count, unit, cat } = this.#segment
    if (unit === "bytes") return { lengthBytes: count, rest: "kept" }
    const blockBytes = (unit === "source blocks" ? from : to).unit.blockBytes
    const lengthBytes = count * blockBytes
    const sourceRest = lengthBytes % from.unit.blockBytes
    const destinationRest = lengthBytes % to.unit.blockBytes
    if (sourceRest === 0 && destinationRest === 0) return { lengthBytes, rest: "kept" }
    const [sourcePad, destinationPad] = [from.cscd?.pad ?? false, to.cscd?.pad ?? false]
    if (cat) {
      if (last) return { lengthBytes: lengthBytes - destinationRest, rest: "kept" }
    } else if (destinationRest !== 0) {
      if (destinationPad) return { lengthBytes, rest: "zeroes" }
      if (sourcePad) return { lengthBytes: lengthBytes - destinationRest, rest: "kept" }
    } else if (sourcePad || (destinationPad && last)) {
      return { lengthBytes, rest: "kept" }
    }
    throw this.#wrong(Asc.unexpectedInexactSegment, "the segment ends within a block", 10)
  }

  /** Where the place is, in bytes. A mistake of the descriptor's, so none of the unit's (SPC-4 §5.17.7.4 g). */
  #placeOf(place: SegmentPlace, unit: DiskUnit, lengthBytes: number): number {
    const { lba, byteOffset, lbaAt, byteOffsetAt } = place
    const { blockBytes } = unit
    if (byteOffset >= blockBytes) {
      throw this.#wrong(Asc.invalidFieldInParameterList, "the offset lies behind the block", byteOffsetAt)
    }
    const offset = lba * blockBytes + byteOffset
    const blocks = Math.ceil((byteOffset + lengthBytes) / blockBytes)
    if (lba + blocks > unit.blocks) {
      throw this.#wrong(Asc.noAdditionalSense, "the segment ends behind the device", lbaAt)
    }
    return offset
  }

  /** The segment descriptor is wrong at byte `byte`. */
  #wrong(asc: Asc, message: string, byte: number): SenseError {
    return this.#aborted(asc, message, { field: { in: "segment", byte } })
  }

  #aborted(asc: Asc, message: string, detail: SenseDetail = {}): SenseError {
    return new SenseError(SenseKey.copyAborted, asc, message, { commandSpecific: this.#number, ...detail })
  }

  /** A source or a destination has failed (SPC-4 §5.17.7.4 c to f). INFORMATION: blocks that haven't been written. */
  #endFailed(
    error: CopyEndError,
    { cscd }: Found,
    { written, wanted, blockBytes }: { written: number; wanted: number; blockBytes: number },
  ): SenseError {
    const information = Math.ceil(wanted / blockBytes) - Math.floor(written / blockBytes)
    return this.#aborted(Asc.thirdPartyDeviceFailure, error.message, {
      forwarded: error.forwarded,
      ...(written > 0 && { information }),
      ...(cscd !== undefined && { field: { in: "parameters", byte: cscd.at } }),
    })
  }
}
