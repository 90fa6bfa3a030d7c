export * from "./block.ts"
export * from "./primary.ts"
