import { BHS_BYTES } from "../pdu/bhs.ts"
import { LoginRequest, LoginResponse } from "../pdu/login.ts"

/** What a Login Request's header says, as a value of its own. */
export interface LoginRequestFields {
  readonly transit: boolean
  readonly continue: boolean
  readonly currentStage: number
  readonly nextStage: number
  readonly versionMax: number
  readonly versionMin: number
  readonly isid: number
  readonly tsih: number
  readonly initiatorTaskTag: number
  readonly cid: number
  readonly cmdSn: number
  readonly expStatSn: number
}

export const readLoginRequest = (view: LoginRequest): LoginRequestFields => ({
  transit: view.transit,
  continue: view.continue,
  currentStage: view.currentStage,
  nextStage: view.nextStage,
  versionMax: view.versionMax,
  versionMin: view.versionMin,
  isid: view.isid,
  tsih: view.tsih,
  initiatorTaskTag: view.initiatorTaskTag,
  cid: view.cid,
  cmdSn: view.cmdSn,
  expStatSn: view.expStatSn,
})

export function encodeLoginRequest(fields: LoginRequestFields): Uint8Array {
  const bytes = new Uint8Array(BHS_BYTES)
  const view = new LoginRequest(new DataView(bytes.buffer), 0)
  view.opcode = LoginRequest.opcode
  view.immediate = true
  view.transit = fields.transit
  view.continue = fields.continue
  view.currentStage = fields.currentStage
  view.nextStage = fields.nextStage
  view.versionMax = fields.versionMax
  view.versionMin = fields.versionMin
  view.isid = fields.isid
  view.tsih = fields.tsih
  view.initiatorTaskTag = fields.initiatorTaskTag
  view.cid = fields.cid
  view.cmdSn = fields.cmdSn
  view.expStatSn = fields.expStatSn
  return bytes
}

export interface LoginAnswer {
  readonly transit: boolean
  readonly continue: boolean
  readonly tsih: number
  readonly statSn: number
  readonly expCmdSn: number
  readonly maxCmdSn: number
  /** Status-Class in the high byte, Status-Detail in the low. */
  readonly status: number
}

/** The response to a request: stages, ISID and task tag are the request's. NSG is 0 without the T bit. */
export function encodeLoginResponse(request: LoginRequestFields, answer: LoginAnswer): Uint8Array {
  const bytes = new Uint8Array(BHS_BYTES)
  const view = new LoginResponse(new DataView(bytes.buffer), 0)
  view.opcode = LoginResponse.opcode
  view.transit = answer.transit
  view.continue = answer.continue
  view.currentStage = request.currentStage
  view.nextStage = answer.transit ? request.nextStage : 0
  view.isid = request.isid
  view.tsih = answer.tsih
  view.initiatorTaskTag = request.initiatorTaskTag
  view.statSn = answer.statSn
  view.expCmdSn = answer.expCmdSn
  view.maxCmdSn = answer.maxCmdSn
  view.statusClass = answer.status >> 8
  view.statusDetail = answer.status & 0xff
  return bytes
}

/** Stands for the request where none has come to answer. */
export const noRequest: LoginRequestFields = {
  transit: false,
  continue: false,
  currentStage: 0,
  nextStage: 0,
  versionMax: 0,
  versionMin: 0,
  isid: 0,
  tsih: 0,
  initiatorTaskTag: 0,
  cid: 0,
  cmdSn: 0,
  expStatSn: 0,
}

/** What a Login Response's header says, as a value of its own. */
export interface LoginResponseFields {
  readonly transit: boolean
  readonly continue: boolean
  readonly currentStage: number
  readonly nextStage: number
  readonly versionActive: number
  readonly tsih: number
  readonly initiatorTaskTag: number
  readonly statSn: number
  readonly expCmdSn: number
  readonly maxCmdSn: number
  readonly status: number
}

export const readLoginResponse = (view: LoginResponse): LoginResponseFields => ({
  transit: view.transit,
  continue: view.continue,
  currentStage: view.currentStage,
  nextStage: view.nextStage,
  versionActive: view.versionActive,
  tsih: view.tsih,
  initiatorTaskTag: view.initiatorTaskTag,
  statSn: view.statSn,
  expCmdSn: view.expCmdSn,
  maxCmdSn: view.maxCmdSn,
  status: (view.statusClass << 8) | view.statusDetail,
})
