export { formatHostPort, ISCSI_PORT, parseHostPort } from "./send-targets.ts"
export type { DiscoveredTarget } from "./send-targets.ts"
