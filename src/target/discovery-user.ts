import type { SessionUser } from "../iscsi/session/session-user.ts"
import { TaskManagementResponseCode } from "../iscsi/spec/index.ts"

/** The SCSI side of a discovery session: there is none. Its connection refuses commands before they get here. */
export class DiscoveryUser implements SessionUser {
  commandReceived(): void {}

  taskManagementReceived(): Promise<number> {
    return Promise.resolve(TaskManagementResponseCode.functionRejected)
  }

  taskManagementAnswered(): void {}

  connectionEnded(): void {}

  sessionEnded(): void {}
}
