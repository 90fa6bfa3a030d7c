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
/** Connections in login phase per portal; for one more one of the address that has most of them is closed. */
export const LOGINS_PENDING_MAX = 256
/** Largest data segment a peer may send us before login has agreed on a size (RFC 7143 §13.12 default), in bytes. */
export const LOGIN_DATA_SEGMENT_BYTES_MAX = 8192
/** Largest MaxRecvDataSegmentLength we declare, in bytes. */
export const DATA_SEGMENT_BYTES_MAX = 1024 * 1024
/** Longest additional header segments accepted, in bytes (TotalAHSLength could say 1020). */
export const AHS_BYTES_MAX = 1020
/** Commands a session may have outstanding: MaxCmdSN - ExpCmdSN + 1. */
export const COMMAND_WINDOW = 128
/** Immediate SCSI commands a session may have outstanding beyond the window, and task management functions; one more is rejected. */
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
/** Data one READ, WRITE, VERIFY or ORWRITE may move, in bytes: MAXIMUM TRANSFER LENGTH, in steps of the above size. */
export const COMMAND_TRANSFER_BYTES_MAX = 64 * 1024 * 1024
/** What one WRITE SAME may fill, in bytes: MAXIMUM WRITE SAME LENGTH. */
export const WRITE_SAME_BYTES_MAX = 64 * 1024 * 1024
/** Logical blocks one UNMAP may name, all descriptors together, and its descriptors. */
export const UNMAP_BLOCKS_MAX = 1024 * 1024
export const UNMAP_DESCRIPTORS_MAX = 256
/** What one WRITE ATOMIC may write, in bytes: MAXIMUM ATOMIC TRANSFER LENGTH; one step of data, since it comes as a whole. */
export const ATOMIC_WRITE_BYTES_MAX = 1024 * 1024
/** One step of a sanitize or format operation that only deallocates or zeroes, in bytes; one that writes takes a step of data. */
export const DEALLOCATION_STEP_BYTES = 64 * 1024 * 1024
/** Logical blocks one REASSIGN BLOCKS may name. */
export const REASSIGNED_BLOCKS_MAX = 1024
/** How often a thin unit that somebody has set a threshold for looks how much storage it takes, in ms. */
export const THRESHOLD_POLL_MS = 5_000
/** Identifying information of a logical unit, and its text, in bytes (SPC-4 §5.6). */
export const IDENTIFYING_INFORMATION_BYTES_MAX = 512
export const IDENTIFYING_TEXT_BYTES_MAX = 256
/** Descriptors in one answer to GET LBA STATUS. */
export const LBA_STATUS_DESCRIPTORS_MAX = 256
/** What one PRE-FETCH reads ahead, in bytes; the rest of its range is left alone. */
export const PREFETCH_BYTES_MAX = 8 * 1024 * 1024
/** Copy operations of one logical unit at once; one more gets BUSY. */
export const COPIES_MAX = 16
/** Ended copy operations a logical unit remembers for one nexus, for it to ask about. */
export const COPY_RESULTS_MAX = 64
/** CSCD descriptors, segment descriptors, and bytes of both, in the parameter list of one EXTENDED COPY. */
export const CSCD_DESCRIPTORS_MAX = 64
export const SEGMENT_DESCRIPTORS_MAX = 256
export const COPY_DESCRIPTORS_BYTES_MAX = 16 * 1024
/** One step of a copy, in bytes, and how many of one operation are under way: with memory of its own each. */
export const COPY_STEP_BYTES = 1024 * 1024
export const COPY_DEPTH = 2
/** What a copy zeroes in one step, in bytes. */
export const COPY_ZERO_STEP_BYTES = 64 * 1024 * 1024
/** ROD tokens one logical unit knows, those no longer valid included, and ranges of one. */
export const ROD_TOKENS_MAX = 256
export const ROD_RANGES_MAX = 64
/** What one ROD token may represent, and one WRITE USING TOKEN write, in bytes. */
export const ROD_BYTES_MAX = 1024 * 1024 * 1024
/** For how long an unused ROD token stays valid when nobody says, and at most, in ms. */
export const ROD_TOKEN_INACTIVITY_MS = 60_000
export const ROD_TOKEN_INACTIVITY_MS_MAX = 600_000
/** What a task that compares or fills holds beside its step of data, in bytes. */
export const SCRATCH_BYTES = 128 * 1024
/** Largest read or write of a file that may be done on the event loop, in the page cache, in bytes. */
export const SYNCHRONOUS_IO_BYTES_MAX = 1024 * 1024
/** A file operation that kept the event loop longer than this counts as a stall, in ms. */
export const SYNCHRONOUS_IO_STALL_MS = 5
/** Stalls that are put up with (an eighth of the time passing is forgiven); then the thread pool is used, in ms... */
export const SYNCHRONOUS_IO_STALLED_MS_MAX = 25
/** ...for this long, doubling up to the second bound while it stays slow, in ms. */
export const SYNCHRONOUS_IO_PAUSE_MS_MIN = 100
export const SYNCHRONOUS_IO_PAUSE_MS_MAX = 3_200
/** Extents one question is answered with; who wants more asks again from where the answer ends. */
export const EXTENTS_MAX = 1024
/** Largest aligned buffer a direct (O_DIRECT) transfer is carried in, in bytes, and how many are kept for reuse. */
export const BOUNCE_BYTES_MAX = 1024 * 1024
export const BOUNCE_BUFFERS_MAX = 16
/** One step of discarding or zeroing a run of a file, so that no thread is held for long, in bytes. */
export const FALLOCATE_STEP_BYTES = 1024 * 1024 * 1024
/** Runs up to this are zeroed by writing, not by the filesystem's slower transaction, in bytes. */
export const ZEROES_WRITTEN_BYTES_MAX = 128 * 1024
/** Calls into the C library on the thread pool at the same time; more wait. */
export const NATIVE_CALLS_MAX = 16
/** Pieces of memory that are given to a socket with one system call; Linux takes 1024 (IOV_MAX). */
export const SOCKET_PIECES_MAX = 1024
/** What one media key encrypts, in bytes: 2^44 blocks of AES (IEEE 1619-2018). */
export const ENCRYPTED_BYTES_MAX = 256 * 1024 * 1024 * 1024 * 1024
/** Encrypted data a write holds at once, in bytes. */
export const ENCRYPTED_WRITE_BYTES_MAX = 1024 * 1024
/** Rules of one fault device. */
export const FAULT_RULES_MAX = 1024
/** Length of a configuration file, in bytes. */
export const CONFIGURATION_BYTES_MAX = 1024 * 1024
/** YAML aliases of a configuration file once expanded: against files that blow up. */
export const CONFIGURATION_ALIASES_MAX = 100
/** How long a connection we have closed may wait for the peer's goodbye, in ms. */
export const CLOSE_DEADLINE_MS = 5_000
/** Identities of logical units that are remembered. */
export const IDENTITIES_MAX = 16384
/** How long another process may keep the folder of identities locked, in ms. */
export const STATE_LOCK_DEADLINE_MS = 5_000
/** Addresses one login follows when it is redirected. */
export const LOGIN_REDIRECTS_MAX = 4
/** SCSI commands of one initiator session under way at once; more wait their turn. */
export const COMMANDS_IN_FLIGHT_MAX = 128
/** How long an initiator waits for the answer to ABORT TASK, Logout and their kind before it drops the connection, in ms. */
export const EXCHANGE_DEADLINE_MS = 15_000
/** Between two attempts of an initiator to connect again: the first pause, and the longest, in ms. */
export const RECONNECT_DELAY_MS = 100
export const RECONNECT_DELAY_MS_MAX = 5_000
/** How long an initiator tries to get a lost session back, in ms. */
export const RECONNECT_TOTAL_MS = 120_000
/** How long a command that got BUSY or TASK SET FULL is tried again, and the longest pause between, in ms. */
export const BUSY_TOTAL_MS = 30_000
export const BUSY_DELAY_MS_MAX = 1_000
/** How often a command is tried again because of unit attentions, or because somebody else aborted it. */
export const COMMAND_RETRIES_MAX = 8
/** Longest transfer of one command of a Disk whose logical unit names no limit, in bytes. */
export const TRANSFER_BYTES_MAX = 4 * 1024 * 1024
/** The same over iSER, where targets in use have no more memory for a command, and say so nowhere (tgt). */
export const ISER_TRANSFER_BYTES_MAX = 512 * 1024
/** Unit attention conditions one nexus has pending at one logical unit; the newest is dropped beyond it. */
export const UNIT_ATTENTIONS_MAX = 16
/** Initiator ports a target remembers, to tell a nexus that was lost from a new one. */
export const INITIATOR_PORTS_REMEMBERED_MAX = 4096
/** Self-tests whose results are remembered: what the Self-Test Results log page has room for (SPC-4 §7.3). */
export const SELF_TEST_RESULTS_MAX = 20
/** Longest parameter list of a LOG SELECT, in bytes. */
export const LOG_PARAMETERS_BYTES_MAX = 4096
/** How fast an extended self-test reads at most, in bytes a second: who uses the disk meanwhile comes first. */
export const SELF_TEST_BYTES_PER_SECOND = 128 * 1024 * 1024
/** Target port groups of one target, the highest number of one (SPC-4 has one more), and the ports of one: a count of one byte. */
export const TARGET_PORT_GROUPS_MAX = 64
export const TARGET_PORT_GROUP_MAX = 65534
export const TARGET_PORTS_PER_GROUP_MAX = 255
/** Longest parameter list of a MODE SELECT, in bytes. */
export const MODE_PARAMETERS_BYTES_MAX = 4096
/** Registrations of one logical unit (PERSISTENT RESERVE OUT), one per I_T nexus; for one more there are insufficient resources. */
export const PERSISTENT_REGISTRATIONS_MAX = 1024
/** Longest parameter list of a PERSISTENT RESERVE OUT, in bytes: TransportIDs of initiator ports to be registered as well. */
export const PERSISTENT_RESERVE_LIST_BYTES_MAX = 64 * 1024
/** Longest answer to SendTargets an initiator takes, in bytes. */
export const SEND_TARGETS_BYTES_MAX = 4 * 1024 * 1024
/** Requests of one session that came ahead of their turn, with their data, in bytes. */
export const HELD_BYTES_MAX = 4 * 1024 * 1024
/** Discovery sessions, all initiators together. */
export const DISCOVERY_SESSIONS_MAX = 1024
/** From asking for an RDMA connection to having it, in ms; and how long one somebody asks us for may stay unanswered, in ms. */
export const RDMA_CONNECT_DEADLINE_MS = 15_000
export const RDMA_ACCEPT_DEADLINE_MS = 10_000
/** RDMA connections asked of one listener and not answered yet; one more is rejected. */
export const RDMA_REQUESTS_PENDING_MAX = 256
/** Queue pairs (one per connection), completion queues and protection domains of one software RDMA device. */
export const RDMA_QUEUE_PAIRS_MAX = 8192
export const RDMA_COMPLETION_QUEUES_MAX = 8192
export const RDMA_PROTECTION_DOMAINS_MAX = 8192
/** Requests in one work queue, and completions in one completion queue, of a software RDMA device. */
export const RDMA_WORK_REQUESTS_MAX = 16384
export const RDMA_COMPLETIONS_MAX = 4194304
/** Entries of one scatter/gather list of a software RDMA device, and bytes of an inline request. */
export const RDMA_ENTRIES_MAX = 32
export const RDMA_INLINE_BYTES_MAX = 512
/** Memory regions of one software RDMA device; half of the 32 bits of a key tell them apart. */
export const RDMA_REGIONS_MAX = 65536
/** Largest memory region, and largest message, of a software RDMA device, in bytes. */
export const RDMA_REGION_BYTES_MAX = 4294967295
export const RDMA_MESSAGE_BYTES_MAX = 1073741824
/** RDMA Reads one connection has under way each way. */
export const RDMA_READS_MAX = 128
/** Private data of a request for an RDMA connection or its answer, in bytes. */
export const RDMA_PRIVATE_DATA_BYTES_MAX = 196
/** Private data of an MPA Request or Reply we send, read depths included (siw takes no more), and of one we take, in bytes. */
export const MPA_PRIVATE_DATA_BYTES_MAX = 256
export const MPA_PRIVATE_DATA_RECEIVED_BYTES_MAX = 512
/** From accepting a stream to its whole MPA Request, and from our Reply to the message that makes it established, in ms. */
export const MPA_DEADLINE_MS = 5_000
/** What an iWARP connection has handed to its stream and the system hasn't taken; beyond, requests wait, in bytes. */
export const IWARP_SEND_BYTES_HIGH = 2 * 1024 * 1024
/** How long an RDMA peer that was connected to may keep silent before it is nudged, then twice as long, up to that; in ms. */
export const IWARP_NUDGE_MS = 200
export const IWARP_NUDGE_MS_MAX = 2_000
/** How long a command of an initiator's that was given no time may be under way, in ms; somewhat later it is aborted. */
export const COMMAND_DEADLINE_MS = 120_000
/** How long an initiator waits for the RDMA connection its login is to go over, in ms; and how long where TCP would do as well, in ms. */
export const ISER_CONNECT_DEADLINE_MS = 10_000
export const ISER_TRY_DEADLINE_MS = 1_000
/** How long, and of how many portals, an initiator remembers that they need another transport than it would try first; in ms. */
export const TRANSPORTS_REMEMBERED_MS = 600_000
export const TRANSPORTS_REMEMBERED_MAX = 1024
/** After a unit attention that tells of a reset: how long an initiator waits for older commands' answers before it asks, in ms. */
export const LOST_COMMAND_GRACE_MS = 1_000
/** Largest data segment of a PDU over iSER a target agrees to (TargetRecvDataSegmentLength), in bytes: each receive has room for one. */
export const ISER_DATA_SEGMENT_BYTES_MAX = 256 * 1024
/** Additional header segments over iSER (MaxAHSLength), in bytes. */
export const ISER_AHS_BYTES = 256
/** PDUs one iSER connection has room for at once; a login that would need more is refused (status 0302). */
export const ISER_RECEIVES_MAX = 8192
/** Of these, for PDUs that no window governs: immediate requests at the target; pings, Rejects and their kind at the initiator. */
export const ISER_UNEXPECTED_PDUS = 64
/** Memory for PDUs to come, of all iSER connections of one RDMA device, in bytes; beyond it logins are refused (status 0302). */
export const ISER_RECEIVE_BYTES_MAX = 1073741824
/** RDMA requests and messages one iSER connection has under way; more wait. */
export const ISER_SENDS_MAX = 1024
/** Commands with STags one iSER connection remembers; those refused without a word of it count until their tag comes again. */
export const ISER_TASKS_MAX = 4096
/** Memory of RDMA connections whose CRCs are made without a copy, in bytes of address space; beyond it they are copied. */
export const SUMMABLE_BYTES_MAX = 8388608
