import { Asc, SenseError, SenseKey } from "../scsi/spec/sense.ts"

/** iSCSI conditions a command ends with when its data isn't what was agreed on (RFC 7143 §11.4.7.2): ASC and ASCQ. */
const UNEXPECTED_UNSOLICITED_DATA = 0x0c0c
const INCORRECT_AMOUNT_OF_DATA = 0x0c0d

/** Data came unasked where it wasn't agreed on, or more than FirstBurstLength of it. */
export const unexpectedUnsolicitedData = (): SenseError =>
  new SenseError(SenseKey.abortedCommand, UNEXPECTED_UNSOLICITED_DATA, "unexpected unsolicited data")

/** The unsolicited data ended before FirstBurstLength and before all of the command's had come. */
export const incorrectAmountOfData = (): SenseError =>
  new SenseError(SenseKey.abortedCommand, INCORRECT_AMOUNT_OF_DATA, "incorrect amount of data")

/** Data-Out came damaged, or some of it didn't come; at ErrorRecoveryLevel 0 it can't be asked for again (RFC 7143 §7.8, §7.9). */
export const protocolServiceCrcError = (): SenseError =>
  new SenseError(SenseKey.abortedCommand, Asc.protocolServiceCrcError, "protocol service CRC error")
