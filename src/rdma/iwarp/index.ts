export { IwarpDevice } from "./device.ts"
export type { FpduSize, IwarpOptions } from "./options.ts"
