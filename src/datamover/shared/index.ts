export { DataBufferBudget } from "./budget.ts"
