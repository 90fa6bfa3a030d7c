export {
  encodeSendTargets,
  encodeSendTargetsRequest,
  formatHostPort,
  ISCSI_PORT,
  parseHostPort,
  parseSendTargets,
  parseTargetAddress,
  SendTargetsError,
} from "./send-targets.ts"
export type { DiscoveredTarget, TargetPortal } from "./send-targets.ts"
