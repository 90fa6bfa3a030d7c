/** The main door: targets, initiators, and what both are made with. Through it both have iSER besides TCP. */
import { useIser } from "./iser.ts"

export type { ByteStream, Listener, Network } from "./base/byte-stream.ts"
export type { Clock, Timer } from "./base/clock.ts"
export { SanletError } from "./base/errors.ts"
export type { Log, LogFields } from "./base/log.ts"
export type { Random } from "./base/random.ts"
export * from "./initiator/index.ts"
export type { ChapAcceptance, ChapCredentials } from "./iscsi/login/chap.ts"
export { ChapSecret } from "./iscsi/login/chap.ts"
export type { KeyPreferences } from "./iscsi/login/keys.ts"
export type { IserAcceptor } from "./target/iser.ts"
export { AccessList, type AccessOptions } from "./target/access.ts"
export { NetworkEntity, type NetworkEntityOptions } from "./target/network-entity.ts"
export type { Portal } from "./target/portal.ts"
export type { AluaGroupInfo, AluaGroupOptions, AluaOptions } from "./target/alua.ts"
export { type SessionInfo, Target, type TargetOptions } from "./target/target.ts"
export { iserOverIwarp, type Iser } from "./iser.ts"

useIser()
