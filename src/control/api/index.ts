/** The types operators' tools share with the server. Types only: nothing here runs. */
export type { ServedPortal, ServedUnit, ServerStatus } from "./server.ts"
