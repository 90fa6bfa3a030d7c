import type { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { CdUnit } from "../../../../src/scsi/mmc/cd-unit.ts"
import { TestDevice } from "../sbc/test-device.ts"
import { type DriveBench, driveBench } from "../sbc/tray-bench.ts"

export interface CdBench extends DriveBench {
  readonly unit: CdUnit
  readonly disc: TestDevice | undefined
}

/** A device that says it has `blocks` sectors, and has the first `storedBlocks` of them. */
class LongDisc extends TestDevice {
  readonly #blocks: number

  constructor(blocks: number, storedBlocks: number) {
    super(storedBlocks * 2048, { writeCache: false, readOnly: true, discard: false })
    this.#blocks = blocks
  }

  override get sizeBytes(): number {
    return this.#blocks * 2048
  }
}

export const discOf = (blocks: number): TestDevice => new LongDisc(blocks, Math.min(blocks, 256))

/** A drive with a disc of that many sectors in it; undefined: none. */
export function cdBench(blocks: number | undefined): CdBench {
  const disc = blocks === undefined ? undefined : discOf(blocks)
  const bench = driveBench((clock: VirtualClock) => new CdUnit(disc, { clock }))
  return { ...bench, unit: bench.unit as CdUnit, disc }
}

/** A CDB of ten or twelve bytes: `bytes` by their place. */
export function cdbOf(opcode: number, bytes: Readonly<Record<number, number>>): number[] {
  const cdb = new Array<number>(opcode < 0xa0 ? 10 : 12).fill(0)
  cdb[0] = opcode
  for (const [at, value] of Object.entries(bytes)) cdb[Number(at)] = value
  return cdb
}
