/** CDB usage data of fields that are looked at as a whole, and of bytes that aren't looked at: for Command.usage. */
export const all = (bytes: number): number[] => new Array<number>(bytes).fill(0xff)
export const none = (bytes: number): number[] => new Array<number>(bytes).fill(0)
