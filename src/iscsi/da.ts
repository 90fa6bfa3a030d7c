import type { DataBuffer } from "../base/buffers.ts"
import type { Endpoint } from "../base/byte-stream.ts"
import type { Eventually } from "../base/completion.ts"
import { SanletError } from "../base/errors.ts"
import { COMMAND_WINDOW, ISER_RECEIVES_MAX, ISER_UNEXPECTED_PDUS } from "../base/limits.ts"

/**
 * The Datamover Architecture's primitives (RFC 5047): the seam between iSCSI and how bytes move. Above it nobody
 * sees an R2T, a Data-In or a solicited Data-Out; below it nobody knows what a command means.
 *
 * Calls down never call back up before they return: upcalls come from the event loop.
 *
 * Two departures from RFC 5047, both because running code needs them: login PDUs pass through sendControl and
 * controlNotify as well (RFC 5047 §10.3.10 leaves that to the datamover), and memory is asked of the datamover
 * (it knows where headers go, and with RDMA what is registered).
 */

/** The transport under a connection failed, or the peer broke its framing; the connection is gone. */
export class DatamoverError extends SanletError {}

/** What a task's data was waiting for will not come: the task or its connection has ended. */
export class TaskAbortedError extends SanletError {
  constructor(message = "the task was aborted") {
    super("ERR_TASK_ABORTED", message)
  }
}

/**
 * Data of a task came damaged, or not in the order of its DataSNs, which means that some is missing. Nothing can be
 * sent again at ErrorRecoveryLevel 0: the task ends with CHECK CONDITION and the iSCSI condition named here (RFC 7143
 * §7.8, §7.9, §11.4.7.2); the connection and other tasks go on.
 */
export class DataTransferError extends SanletError {
  readonly condition = "protocol service CRC error"

  constructor(message: string) {
    super("ERR_DATA_TRANSFER", message)
  }
}

/** A control-type PDU that has arrived. All of it is valid only during controlNotify; `hold` prolongs its data. */
export interface ReceivedPdu {
  /** The memory the PDU lies in. */
  readonly view: DataView
  readonly bytes: Uint8Array
  /** Where the BHS starts in it. */
  readonly at: number
  /** Additional header segments: start, and length in bytes (0: none). */
  readonly ahsAt: number
  readonly ahsBytes: number
  /** The data segment without padding: start, and length in bytes (0: none). */
  readonly dataAt: number
  readonly dataBytes: number
  /** The data segment as a buffer that stays valid until released. No copy. */
  hold(): DataBuffer
}

/** The running numbers a datamover stamps on the PDUs it makes itself. The iSCSI layer changes them, always before it calls. */
export interface RunningNumbers {
  /** Target: what the next response on this connection will carry. */
  readonly statSn: number
  readonly expCmdSn: number
  readonly maxCmdSn: number
  /** Initiator: the next StatSN expected on this connection. */
  readonly expStatSn: number
}

/** The negotiated values a datamover acts on (Notice_Key_Values). */
export interface DatamoverKeys {
  readonly headerDigest: "None" | "CRC32C"
  readonly dataDigest: "None" | "CRC32C"
  /** Largest data segment the peer takes, in bytes. */
  readonly maxSendDataSegmentLength: number
  /** Largest data segment we have declared to take, in bytes. */
  readonly maxRecvDataSegmentLength: number
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly maxOutstandingR2T: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly dataPduInOrder: boolean
  readonly dataSequenceInOrder: boolean
  readonly errorRecoveryLevel: number
  /** The session runs over RDMA (RFC 7145 §6.3): a datamover that can, turns to it. */
  readonly rdmaExtensions?: boolean
  /**
   * iSER alone (RFC 7145 §6): what the peer has declared; undefined or absent: nothing. How many PDUs nobody asked for
   * it has room for (0: any number).
   */
  readonly peerMaxOutstandingUnexpectedPdus?: number | undefined
  /** Whether the Write STag stands for the solicited data alone. Running code declares nothing, and means that it does. */
  readonly taggedBufferForSolicitedDataOnly?: boolean | undefined
}

/** PDUs of unsolicited data a command may bring besides its own; over iSER each takes a receive (RFC 7145 §8.1.1). */
export function unsolicitedPdusMax(keys: DatamoverKeys): number {
  const { initialR2T, immediateData, firstBurstLength, maxRecvDataSegmentLength } = keys
  if (initialR2T) return 0
  const firstBytes = immediateData ? maxRecvDataSegmentLength : 0
  return Math.max(0, Math.ceil((firstBurstLength - firstBytes) / maxRecvDataSegmentLength))
}

/** Commands a target lets come at a time: over iSER no more than there is room for, with all they may bring. */
export function commandWindow(keys: DatamoverKeys): number {
  if (!keys.rdmaExtensions) return COMMAND_WINDOW
  const room = Math.floor((ISER_RECEIVES_MAX - ISER_UNEXPECTED_PDUS) / (1 + unsolicitedPdusMax(keys)))
  return Math.max(1, Math.min(COMMAND_WINDOW, room))
}

/** What both roles ask of a datamover. */
export interface Datamover {
  /** May change with enableDatamover, where the datamover can turn to RDMA. */
  readonly transport: "tcp" | "iser"
  /** It logs in over TCP, and turns to iSER when the login agrees on RDMAExtensions. */
  readonly canTurnToRdma?: boolean
  readonly local: Endpoint
  readonly remote: Endpoint
  /** Changes with every sign of life of the peer: it has sent something, or taken what it had left lying. */
  readonly activity: number
  /** Begins delivery of PDUs, in login phase: default data segment length, no digests. Call once. */
  start(upcalls: DatamoverUpcalls, numbers: RunningNumbers): void
  /**
   * Gets what the full feature phase needs under the keys last noticed; throws DatamoverError when it can't be had, and
   * the login is refused with status 0302 (RFC 7145 §5.1.2). After security negotiation only.
   */
  allocateConnectionResources(): void
  /** Takes it back when the login fails after all. */
  deallocateConnectionResources(): void
  noticeKeyValues(keys: DatamoverKeys): void
  /**
   * From here on the connection is in full feature phase. The target passes the final Login Response, which still
   * leaves in login framing, so that nothing can come between.
   */
  enableDatamover(finalLoginResponse?: { header: Uint8Array; data?: Uint8Array }): void
  /**
   * Sends a control-type PDU. `header` is BHS and AHS, copied at once; TotalAHSLength and DataSegmentLength in it are
   * filled in here. `data` as a Uint8Array is copied at once; a DataBuffer is lent and released when sent.
   */
  sendControl(header: Uint8Array, data?: Uint8Array | DataBuffer): void
  /** The task has ended without a SCSI Response: forget what is pending for it; what still comes for it is dropped. */
  deallocateTaskResources(initiatorTaskTag: number): void
  /** Sends what is pending and closes in good order (after a Logout Response, after a refused login). */
  connectionClose(): void
  /** Drops the connection; connectionTerminateNotify does not follow. */
  connectionTerminate(): void
  /** Stops and resumes taking PDUs, when the session has more than it may hold. */
  pause(): void
  resume(): void
}

export interface TargetDatamover extends Datamover {
  /** After enableDatamover: what it has become, to be called directly from then on. Absent: it is that already. */
  readonly settled?: TargetDatamover
  /**
   * The largest data segment it can agree to take over iSER (TargetRecvDataSegmentLength, RFC 7145 §6.4), in bytes; asked
   * before the login agrees on one. Absent: it is TCP and stays so.
   */
  readonly iserSegmentBytesMax?: number
  /** Memory for putData, 1 to TRANSFER_STEP_BYTES; waits while too much is queued to this peer. Rejects: TaskAbortedError. */
  allocateDataIn(initiatorTaskTag: number, bytes: number): Eventually<DataBuffer>
  /** Memory for getData. */
  allocateDataOut(initiatorTaskTag: number, bytes: number): Eventually<DataBuffer>
  /**
   * Moves buffer.bytes[0, bytes) to the initiator's buffer at `bufferOffset` (Put_Data: Data-In PDUs or RDMA
   * Write). The buffer is released when it has gone. Calls of a task come in rising order without gaps; `final` with its
   * last one.
   */
  putData(
    initiatorTaskTag: number,
    bufferOffset: number,
    buffer: DataBuffer,
    bytes: number,
    final: boolean,
  ): void
  /**
   * Fetches the initiator's [bufferOffset, bufferOffset + into.length) (Get_Data: R2T and Data-Out PDUs, in as many
   * bursts as negotiated, or RDMA Read) into memory of allocateDataOut or a part of it. `lun` is the LUN field of the
   * command, for the R2T. Rejects with TaskAbortedError or DatamoverError, or with DataTransferError once the peer
   * has sent the last of all that was asked of it for the task; what is asked for then is refused with the same.
   */
  getData(
    initiatorTaskTag: number,
    lunHigh: number,
    lunLow: number,
    bufferOffset: number,
    into: Uint8Array,
  ): Promise<void>
}

/** The buffers of a SCSI command, for the initiator's datamover (DataDescriptorOut, DataDescriptorIn). */
export interface CommandBuffers {
  /** What is written: its length is the Expected Data Transfer Length of a write. */
  readonly dataOut?: Uint8Array | undefined
  /** Where what is read goes. */
  readonly dataIn?: Uint8Array | undefined
  /** Immediate plus unsolicited non-immediate bytes of dataOut: those the iSCSI layer sends itself, with sendControl. */
  readonly unsolicitedBytes: number
}

export interface InitiatorDatamover extends Datamover {
  /** After enableDatamover: what it has become, to be called directly from then on. Absent: it is that already. */
  readonly settled?: InitiatorDatamover
  /** sendControl of a SCSI Command that moves data; its resources last until the SCSI Response or deallocateTaskResources. */
  sendCommand(header: Uint8Array, buffers: CommandBuffers, immediateData?: Uint8Array): void
}

/** What a datamover tells the iSCSI layer. */
export interface DatamoverUpcalls {
  /** A control-type PDU has come. The target's are requests and unsolicited Data-Out; the initiator's, responses. */
  controlNotify(pdu: ReceivedPdu): void
  /**
   * A PDU has come that can't be used, but whose end is known: the target answers with a Reject of this reason
   * (RFC 7143 §11.17.1), and at ErrorRecoveryLevel 0 drops the connection. Not so for a data digest error: then the
   * header can be trusted, the data can't. A solicited Data-Out is accounted for below, its getData rejects; an
   * unsolicited one is the iSCSI layer's, as is what any other PDU leaves missing (§7.8).
   */
  formatErrorNotify(reason: number, message: string, pdu: ReceivedPdu): void
  /** Initiator: a PDU the datamover kept to itself (Data-In, R2T) carried these. */
  numbersNotify(statSn: number | undefined, expCmdSn: number, maxCmdSn: number): void
  /** The connection is gone, and not because the iSCSI layer asked. Comes once, as the last call. */
  connectionTerminateNotify(error: Error): void
}
