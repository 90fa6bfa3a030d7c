import { IntervalSet } from "./interval-set.ts"

/** A SCSI command of the initiator's that moves data. */
export class InitiatorTask {
  readonly initiatorTaskTag: number
  readonly dataOut: Uint8Array | undefined
  readonly dataIn: Uint8Array | undefined
  /** The next DataSN of a Data-In, or R2TSN: they share their numbers (RFC 7143 §11.7.5). */
  #dataSn = 0
  /** Of dataIn: bytes that have come. */
  receivedBytes = 0
  #filled: IntervalSet | undefined

  constructor(initiatorTaskTag: number, dataOut: Uint8Array | undefined, dataIn: Uint8Array | undefined) {
    this.initiatorTaskTag = initiatorTaskTag
    this.dataOut = dataOut
    this.dataIn = dataIn
  }

  /** Takes note of a Data-In for dataIn[offset, offset + bytes). Returns what's wrong with it, if anything. */
  takeDataIn(offset: number, bytes: number, dataSn: number, inOrder: boolean): string | undefined {
    if (dataSn !== this.#dataSn) return `Data-In number ${dataSn} came where ${this.#dataSn} was due`
    if (offset + bytes > (this.dataIn?.length ?? 0)) return "Data-In lies outside of what the command reads"
    if (inOrder) {
      if (offset !== this.receivedBytes) return "Data-In came out of order, though DataPDUInOrder=Yes"
    } else if (bytes > 0) {
      this.#filled ??= new IntervalSet()
      if (!this.#filled.add(offset, offset + bytes)) return "Data-In overlaps data that came before it"
    }
    this.#dataSn++
    this.receivedBytes += bytes
    return undefined
  }

  /** Takes note of an R2T for dataOut[offset, offset + bytes). Returns what's wrong with it, if anything. */
  takeRequest(offset: number, bytes: number, r2tSn: number, burstBytesMax: number): string | undefined {
    if (r2tSn !== this.#dataSn) return `R2T number ${r2tSn} came where ${this.#dataSn} was due`
    if (bytes === 0 || bytes > burstBytesMax)
      return `an R2T asks for ${bytes} bytes, at most ${burstBytesMax} may be`
    if (offset + bytes > (this.dataOut?.length ?? 0)) return "an R2T asks for more than the command writes"
    this.#dataSn++
    return undefined
  }
}
