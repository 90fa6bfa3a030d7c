/** The memory all datamovers of a process share for data, in bytes. */
export class DataBufferBudget {
  readonly bytesMax: number

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }
}
