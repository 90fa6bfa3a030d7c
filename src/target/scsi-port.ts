import type { Eventually } from "../base/completion.ts"
import type { ReceivedPdu } from "../iscsi/da.ts"
import { type AdditionalHeaders, parseAhs } from "../iscsi/pdu/ahs.ts"
import type { SessionUser, TaskManagement } from "../iscsi/session/session-user.ts"
import type { TargetConnection } from "../iscsi/session/target-connection.ts"
import type { TargetSession } from "../iscsi/session/target-session.ts"
import { RejectReason, TaskManagementFunction, TaskManagementResponseCode } from "../iscsi/spec/index.ts"
import { Nexus, type TargetPort } from "../scsi/sam/nexus.ts"
import type { ScsiTarget } from "../scsi/sam/scsi-target.ts"
import type { TaskAttribute } from "../scsi/sam/task.ts"
import { encodeSense } from "../scsi/spec/sense.ts"
import { Status } from "../scsi/spec/status.ts"
import { unexpectedUnsolicitedData } from "./data-errors.ts"
import { IscsiTask } from "./iscsi-task.ts"

/** CDBs of the task's own, with room for the 16 bytes every device server may look at. */
const CDB_BYTES = 16

const NO_AHS: AdditionalHeaders = {}

/** The SCSI port a portal group is (RFC 7143 §3.4.1 b). Its tag is the relative target port identifier as well. */
export const targetPort = (targetName: string, portalGroupTag: number): TargetPort => ({
  targetPortName: `${targetName},t,0x${portalGroupTag.toString(16).padStart(4, "0")}`,
  relativeTargetPort: portalGroupTag,
})

/**
 * The SCSI port of a session: joins it to the SCSI target. The last place that knows iSCSI, and the first that knows
 * SCSI.
 */
export class ScsiPort implements SessionUser {
  readonly #session: TargetSession
  readonly #scsi: ScsiTarget
  readonly nexus: Nexus
  #detached: Promise<void> | undefined
  readonly #onColdReset: () => void

  /** `onColdReset`: a TARGET COLD RESET has been answered; it ends all of the target's sessions (RFC 7143 §11.5.1). */
  constructor(session: TargetSession, scsi: ScsiTarget, onColdReset: () => void) {
    const { initiatorName, isid, targetName = "", portalGroupTag } = session.identity
    this.#session = session
    this.#scsi = scsi
    this.#onColdReset = onColdReset
    this.nexus = new Nexus({
      initiatorPortName: `${initiatorName},i,0x${isid.toString(16).padStart(12, "0")}`,
      initiatorName,
      ...targetPort(targetName, portalGroupTag),
    })
    scsi.attachNexus(this.nexus)
  }

  commandReceived(connection: TargetConnection, pdu: ReceivedPdu, cmdSn: number, immediate: boolean): void {
    const { view, at } = pdu
    const flags = view.getUint8(at + 1)
    const write = (flags & 0x20) !== 0
    const read = (flags & 0x40) !== 0
    const final = (flags & 0x80) !== 0
    const expectedBytes = view.getUint32(at + 20)
    // What says of itself that it makes no sense (RFC 7143 §11.3.1).
    if (!write && (!final || pdu.dataBytes > 0)) {
      return this.#reject(RejectReason.protocolError, connection, pdu, immediate)
    }
    const ahs = pdu.ahsBytes === 0 ? NO_AHS : parseAhs(pdu.bytes, pdu.ahsAt, pdu.ahsBytes)
    if (ahs === undefined) return this.#reject(RejectReason.invalidPduField, connection, pdu, immediate)
    const task = new IscsiTask(
      connection,
      this.nexus,
      view.getUint32(at + 8),
      view.getUint32(at + 12),
      view.getUint32(at + 16),
      taskAttribute(flags & 0x07),
      cdbOf(pdu, ahs),
      write ? expectedBytes : 0,
      read ? (write ? (ahs.bidirectionalReadBytes ?? 0) : expectedBytes) : 0,
      read && write,
      cmdSn,
      immediate,
    )
    this.#session.tasks.set(task.tag, task)
    if (write && (!final || pdu.dataBytes > 0) && !takeUnsolicited(task, pdu, final, expectedBytes)) {
      return refuseUnsolicited(task)
    }
    this.#scsi.commandReceived(task)
  }

  #reject(reason: number, connection: TargetConnection, pdu: ReceivedPdu, immediate: boolean): void {
    this.#session.commandRetired(immediate)
    connection.reject(reason, pdu)
  }

  taskManagementReceived(request: TaskManagement): Promise<number> {
    this.#answerDeferred()
    return this.#scsi.taskManagementRequestReceived(this.nexus, {
      function: request.function as TaskManagementFunction,
      lunHigh: request.lunHigh,
      lunLow: request.lunLow,
      taskTag: request.referencedTaskTag,
    })
  }

  /** No task may be answered after the function that ends it: what has ended but waits for its data is answered now. */
  #answerDeferred(): void {
    for (const task of [...this.#session.tasks.values()]) (task as IscsiTask).answerNow()
  }

  taskManagementAnswered(request: TaskManagement, response: number): void {
    const complete = response === TaskManagementResponseCode.functionComplete
    if (request.function === TaskManagementFunction.targetColdReset && complete) this.#onColdReset()
  }

  connectionEnded(connection: TargetConnection): Eventually<void> {
    const { connections, tasks } = this.#session
    const own = (): IscsiTask[] =>
      ([...tasks.values()] as IscsiTask[]).filter((task) => task.connection === connection)
    const last = [...connections.values()].every((other) => other === connection)
    const ended = last ? this.sessionEnded() : Promise.all(own().map((task) => this.#abort(task)))
    // Those that are left have ended for the SCSI layer, and only wait for their data.
    for (const task of own()) task.abort()
    return ended.then(() => {})
  }

  #abort(task: IscsiTask): Promise<number> {
    return this.#scsi.taskManagementRequestReceived(this.nexus, {
      function: TaskManagementFunction.abortTask,
      lunHigh: task.lunHigh,
      lunLow: task.lunLow,
      taskTag: task.tag,
    })
  }

  sessionEnded(): Promise<void> {
    this.#detached ??= this.#scsi.detachNexus(this.nexus)
    return this.#detached
  }
}

/** The CDB in memory of the task's own: the 16 bytes of the BHS and what an AHS adds (RFC 7143 §11.2.2.3). */
function cdbOf(pdu: ReceivedPdu, ahs: AdditionalHeaders): Uint8Array {
  const at = pdu.at + 32
  const more = ahs.extendedCdb
  if (more === undefined) return pdu.bytes.slice(at, at + CDB_BYTES)
  const cdb = new Uint8Array(CDB_BYTES + more.length)
  cdb.set(pdu.bytes.subarray(at, at + CDB_BYTES))
  cdb.set(more, CDB_BYTES)
  return cdb
}

/** RFC 7143 §11.3.1.1 reserves 5 to 7; they count as untagged, which SAM treats as SIMPLE. */
const taskAttribute = (bits: number): TaskAttribute => (bits <= 4 ? bits : 0) as TaskAttribute

/** Takes what comes with the command unasked, and expects what will. False: that wasn't agreed on (RFC 7143 §13.10, §13.11). */
function takeUnsolicited(task: IscsiTask, pdu: ReceivedPdu, final: boolean, expectedBytes: number): boolean {
  const { keys } = task.connection
  const bytesMax = Math.min(keys.firstBurstLength, expectedBytes)
  if (!final) task.expectUnsolicitedData(bytesMax)
  if ((pdu.dataBytes > 0 && !keys.immediateData) || pdu.dataBytes > bytesMax) return false
  if (!final && keys.initialR2T) return false
  if (pdu.dataBytes > 0) task.takeImmediateData(pdu)
  return true
}

function refuseUnsolicited(task: IscsiTask): void {
  task.sendCommandComplete(Status.checkCondition, encodeSense(unexpectedUnsolicitedData(), "fixed"))
}
