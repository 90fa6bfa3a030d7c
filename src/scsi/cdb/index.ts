export * from "./block.ts"
export * from "./persistent-reserve.ts"
export * from "./primary.ts"
