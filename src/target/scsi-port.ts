import type { Eventually } from "../base/completion.ts"
import type { ReceivedPdu } from "../iscsi/da.ts"
import { type AdditionalHeaders, parseAhs } from "../iscsi/pdu/ahs.ts"
import { ScsiCommand } from "../iscsi/pdu/index.ts"
import type { SessionUser, TaskManagement } from "../iscsi/session/session-user.ts"
import type { TargetConnection } from "../iscsi/session/target-connection.ts"
import type { TargetSession } from "../iscsi/session/target-session.ts"
import { RejectReason, TaskManagementFunction } from "../iscsi/spec/index.ts"
import { Nexus } from "../scsi/sam/nexus.ts"
import type { ScsiTarget } from "../scsi/sam/scsi-target.ts"
import type { TaskAttribute } from "../scsi/sam/task.ts"
import { encodeSense, SenseKey } from "../scsi/spec/sense.ts"
import { Status } from "../scsi/spec/status.ts"
import { IscsiTask } from "./iscsi-task.ts"

/** CDBs of the task's own, with room for the 16 bytes every device server may look at. */
const CDB_BYTES = 16

/** iSCSI condition "unexpected unsolicited data" (RFC 7143 §11.4.7.2): ABORTED COMMAND, 0Ch/0Ch. */
const UNEXPECTED_UNSOLICITED_DATA = 0x0c0c

const NO_AHS: AdditionalHeaders = {}

/**
 * The SCSI port of a session: joins it to the SCSI target. The last place that knows iSCSI, and the first that knows
 * SCSI.
 */
export class ScsiPort implements SessionUser {
  readonly #session: TargetSession
  readonly #scsi: ScsiTarget
  readonly nexus: Nexus
  #detached: Promise<void> | undefined

  /** `relativePort`: 1 to 65535, which of the target's ports this is. */
  constructor(session: TargetSession, scsi: ScsiTarget, relativePort: number) {
    const { initiatorName, isid, targetName = "", portalGroupTag } = session.identity
    this.#session = session
    this.#scsi = scsi
    this.nexus = new Nexus({
      initiatorPortName: `${initiatorName},i,0x${isid.toString(16).padStart(12, "0")}`,
      initiatorName,
      targetPortName: `${targetName},t,0x${portalGroupTag.toString(16).padStart(4, "0")}`,
      relativeTargetPort: relativePort,
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
    const keys = connection.keys
    // What the peer has agreed not to send is a protocol error (RFC 7143 §13.10, §13.11).
    const unagreed = pdu.dataBytes > 0 ? !write || !keys.immediateData : false
    if (unagreed || (!final && (!write || keys.initialR2T))) {
      this.#session.commandRetired(immediate)
      return connection.reject(RejectReason.protocolError, pdu)
    }
    const ahs = pdu.ahsBytes === 0 ? NO_AHS : parseAhs(pdu.bytes, pdu.ahsAt, pdu.ahsBytes)
    if (ahs === undefined) {
      this.#session.commandRetired(immediate)
      return connection.reject(RejectReason.invalidPduField, pdu)
    }
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
      cmdSn,
      immediate,
    )
    this.#session.tasks.set(task.tag, task)
    const unsolicitedMax = Math.min(keys.firstBurstLength, expectedBytes)
    if (pdu.dataBytes > unsolicitedMax) return refuseUnsolicited(task)
    if (pdu.dataBytes > 0) task.takeImmediateData(pdu)
    if (!final) task.expectUnsolicitedData(unsolicitedMax)
    this.#scsi.commandReceived(task)
  }

  taskManagementReceived(request: TaskManagement): Promise<number> {
    return this.#scsi.taskManagementRequestReceived(this.nexus, {
      function: request.function as TaskManagementFunction,
      lunHigh: request.lunHigh,
      lunLow: request.lunLow,
      taskTag: request.referencedTaskTag,
    })
  }

  connectionEnded(connection: TargetConnection): Eventually<void> {
    const tasks = [...this.#session.tasks.values()].filter((task) => task.connection === connection)
    if (tasks.length === 0) return
    return Promise.all(tasks.map((task) => this.#abort(task as IscsiTask))).then(() => {})
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

function refuseUnsolicited(task: IscsiTask): void {
  const failure = { key: SenseKey.abortedCommand, asc: UNEXPECTED_UNSOLICITED_DATA, detail: {} }
  task.sendCommandComplete(Status.checkCondition, encodeSense(failure, "fixed"))
}
