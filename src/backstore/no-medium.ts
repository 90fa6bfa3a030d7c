import { type BlockDevice, BlockError } from "./block-device.ts"

const gone = (): BlockError => new BlockError("closed", "there is no medium")

/** What a drive has whose medium is out: no byte, and nothing can be done with it. */
export const noMedium: BlockDevice = {
  name: "no medium",
  sizeBytes: 0,
  features: {
    readOnly: false,
    writeCache: false,
    discard: true,
    discardGranularityBytes: 1,
    extents: false,
    alignmentBytes: 1,
    solidState: true,
  },
  read(): never {
    throw gone()
  },
  write(): never {
    throw gone()
  },
  flush(): void {},
  discard(): never {
    throw gone()
  },
  writeZeroes(): never {
    throw gone()
  },
  extents(): never {
    throw gone()
  },
  cancel(): void {},
  resize: () => Promise.reject(gone()),
  onResize: () => () => {},
  close: () => Promise.resolve(),
}
