import { hostname } from "node:os"

/** The name of the machine, as it calls itself. */
export const hostName = (): string => hostname()
