/** Login stages, as CSG and NSG carry them (RFC 7143 §11.12.3). 2 is reserved. */
export const LoginStage = {
  securityNegotiation: 0,
  operationalNegotiation: 1,
  fullFeaturePhase: 3,
} as const

export type LoginStage = (typeof LoginStage)[keyof typeof LoginStage]
