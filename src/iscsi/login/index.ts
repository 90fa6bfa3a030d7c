export {
  CHAP_SECRET_BYTES_ADVISED,
  ChapAlgorithm,
  ChapConfigurationError,
  ChapSecret,
  chapAlgorithms,
  chapOffer,
  checkChap,
} from "./chap.ts"
export type { ChapAcceptance, ChapCredentials, ChapProof } from "./chap.ts"
export { LoginError } from "./errors.ts"
export { InitiatorLogin } from "./initiator-login.ts"
export type { EstablishedLogin, InitiatorLoginOptions, InitiatorLoginStep } from "./initiator-login.ts"
export {
  initiatorIserPreferences,
  initiatorKeyPreferences,
  targetIserPreferences,
  targetKeyPreferences,
} from "./keys.ts"
export type { Digest, IserPreferences, KeyPreferences, NegotiatedKeys, TaskReporting } from "./keys.ts"
export { Negotiation } from "./negotiation.ts"
export type {
  AcceptedLogin,
  Admission,
  LeadingLogin,
  LoginCandidate,
  LoginGrant,
  LoginPdu,
  LoginPolicy,
  LoginRefusal,
  SessionType,
  TargetLoginStep,
} from "./policy.ts"
export { TargetLogin } from "./target-login.ts"
