/**
 * Every bound of sanlet, in one place. docs/limits.md tells users of them. A limit is what keeps a peer from
 * hurting anyone but itself.
 */

/** Longest text data (login or text negotiation) gathered over PDUs with the C bit, in bytes. */
export const TEXT_BYTES_MAX = 64 * 1024
/** Login requests one login may take before it is refused. */
export const LOGIN_ROUNDS_MAX = 32
/** From the TCP connection to the full feature phase, in ms. */
export const LOGIN_DEADLINE_MS = 15_000
/** Connections in login phase per portal; one more is closed at once. */
export const LOGINS_PENDING_MAX = 256
/** Largest data segment a peer may send us before login has agreed on a size (RFC 7143 §13.12 default), in bytes. */
export const LOGIN_DATA_SEGMENT_BYTES_MAX = 8192
/** Largest MaxRecvDataSegmentLength we declare, in bytes. */
export const DATA_SEGMENT_BYTES_MAX = 1024 * 1024
/** Longest additional header segments accepted, in bytes (TotalAHSLength could say 1020). */
export const AHS_BYTES_MAX = 1020
/** Commands a session may have outstanding: MaxCmdSN - ExpCmdSN + 1. */
export const COMMAND_WINDOW = 128
/** Immediate commands a session may have outstanding beyond the window; one more is rejected. */
export const IMMEDIATE_COMMANDS_MAX = 32
/** One step of a data transfer: the largest buffer a task holds at once, in bytes. */
export const TRANSFER_STEP_BYTES = 1024 * 1024
/** Data buffers of one process, all sessions together, in bytes; tasks wait their turn beyond it. */
export const DATA_BUFFER_BYTES_MAX = 256 * 1024 * 1024
/** Bytes queued for a peer that doesn't read, beyond which no more of its requests are read. */
export const SEND_QUEUE_BYTES_HIGH = 4 * 1024 * 1024
/** From a NOP-In ping (or the last sign of life) to the next, and how long its answer may take, in ms. */
export const NOP_INTERVAL_MS = 30_000
export const NOP_DEADLINE_MS = 30_000
/** How long close() waits for initiators to log out after the Async Message asking them to, in ms. */
export const LOGOUT_GRACE_MS = 2_000
/** How long a task management function waits for the media operations of the tasks it aborts, in ms. */
export const ABORT_DEADLINE_MS = 30_000
/** Sessions of one target, all initiators together. */
export const SESSIONS_MAX = 4096
/** Logical unit numbers of one target: 0 to this minus one (flat addressing, SAM-5 §4.7). */
export const LUNS_MAX = 16384
/** Tasks one logical unit's task set holds; one more gets TASK SET FULL. */
export const TASK_SET_MAX = 4096
/** Keys in one complete text (login or text negotiation). */
export const TEXT_PAIRS_MAX = 256
/** Longest value of a key, in bytes; ordinary ones are held to 255 (RFC 7143 §6.1). */
export const TEXT_VALUE_BYTES_MAX = 8192
/** Longest CHAP challenge or response, decoded, in bytes (RFC 7143 §12.1.3). */
export const CHAP_BYTES_MAX = 1024
