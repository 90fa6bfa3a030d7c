/**
 * How a work request ended (IB spec §11.6.2; the numbers are ibv_wc_status', so that a provider over
 * libibverbs passes them on). Only those a reliable connection can give are listed.
 */
export const WorkStatus = {
  success: 0,
  /** Receive: the message was longer than the buffers. Send: longer than the device can. */
  localLengthError: 1,
  /** The queue pair can't do this request. */
  localQpOperationError: 2,
  /**
   * A scatter/gather entry names memory that isn't registered, not in this protection domain, too short or
   * without the right.
   */
  localProtectionError: 4,
  /** The queue pair was in the error state before the request was done. */
  workRequestFlushedError: 5,
  badResponseError: 7,
  localAccessError: 8,
  /** The peer found the message itself wrong: too long for its receive, too many reads. */
  remoteInvalidRequestError: 9,
  /** The peer's memory isn't there, or may not be used so. */
  remoteAccessError: 10,
  /** The peer could not do it, for a reason of its own, such as a bad receive buffer. */
  remoteOperationError: 11,
  /** The peer has not answered, however often it was tried. */
  retryExceededError: 12,
  /** The peer had no receive posted, however often it was tried. */
  rnrRetryExceededError: 13,
  fatalError: 19,
  generalError: 21,
} as const

export type WorkStatus = (typeof WorkStatus)[keyof typeof WorkStatus]

const texts: ReadonlyMap<number, string> = new Map(
  Object.entries(WorkStatus).map(([name, value]) => [
    value,
    name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
  ]),
)

/** "remote access error", for logs and messages. */
export const workStatusName = (status: number): string => texts.get(status) ?? `status ${status}`
