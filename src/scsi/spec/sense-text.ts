import { type Sense, SenseKey } from "./sense.ts"

const keyTexts: Readonly<Record<SenseKey, string>> = {
  [SenseKey.noSense]: "NO SENSE",
  [SenseKey.recoveredError]: "RECOVERED ERROR",
  [SenseKey.notReady]: "NOT READY",
  [SenseKey.mediumError]: "MEDIUM ERROR",
  [SenseKey.hardwareError]: "HARDWARE ERROR",
  [SenseKey.illegalRequest]: "ILLEGAL REQUEST",
  [SenseKey.unitAttention]: "UNIT ATTENTION",
  [SenseKey.dataProtect]: "DATA PROTECT",
  [SenseKey.blankCheck]: "BLANK CHECK",
  [SenseKey.copyAborted]: "COPY ABORTED",
  [SenseKey.abortedCommand]: "ABORTED COMMAND",
  [SenseKey.miscompare]: "MISCOMPARE",
  [SenseKey.completed]: "COMPLETED",
}

/** What SPC-4 annex F.2 calls the additional sense codes that we send, and those disks of others send most. */
const ascTexts: ReadonlyMap<number, string> = new Map([
  [0x0000, "NO ADDITIONAL SENSE INFORMATION"],
  [0x0400, "LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE"],
  [0x0401, "LOGICAL UNIT IS IN PROCESS OF BECOMING READY"],
  [0x0402, "LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED"],
  [0x0403, "LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED"],
  [0x0404, "LOGICAL UNIT NOT READY, FORMAT IN PROGRESS"],
  [0x040a, "LOGICAL UNIT NOT ACCESSIBLE, ASYMMETRIC ACCESS STATE TRANSITION"],
  [0x040b, "LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE"],
  [0x040c, "LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE"],
  [0x0412, "LOGICAL UNIT NOT READY, OFFLINE"],
  [0x0800, "LOGICAL UNIT COMMUNICATION FAILURE"],
  [0x0c00, "WRITE ERROR"],
  [0x0c02, "WRITE ERROR - AUTO REALLOCATION FAILED"],
  [0x0c0c, "WRITE ERROR - UNEXPECTED UNSOLICITED DATA"],
  [0x0c0d, "WRITE ERROR - NOT ENOUGH UNSOLICITED DATA"],
  [0x0e03, "INVALID FIELD IN COMMAND INFORMATION UNIT"],
  [0x1100, "UNRECOVERED READ ERROR"],
  [0x1a00, "PARAMETER LIST LENGTH ERROR"],
  [0x1d00, "MISCOMPARE DURING VERIFY OPERATION"],
  [0x2000, "INVALID COMMAND OPERATION CODE"],
  [0x2100, "LOGICAL BLOCK ADDRESS OUT OF RANGE"],
  [0x2400, "INVALID FIELD IN CDB"],
  [0x2500, "LOGICAL UNIT NOT SUPPORTED"],
  [0x2600, "INVALID FIELD IN PARAMETER LIST"],
  [0x2601, "PARAMETER NOT SUPPORTED"],
  [0x2602, "PARAMETER VALUE INVALID"],
  [0x2700, "WRITE PROTECTED"],
  [0x2701, "HARDWARE WRITE PROTECTED"],
  [0x2702, "LOGICAL UNIT SOFTWARE WRITE PROTECTED"],
  [0x2707, "SPACE ALLOCATION FAILED WRITE PROTECT"],
  [0x2800, "NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED"],
  [0x2900, "POWER ON, RESET, OR BUS DEVICE RESET OCCURRED"],
  [0x2901, "POWER ON OCCURRED"],
  [0x2902, "SCSI BUS RESET OCCURRED"],
  [0x2903, "BUS DEVICE RESET FUNCTION OCCURRED"],
  [0x2904, "DEVICE INTERNAL RESET"],
  [0x2907, "I_T NEXUS LOSS OCCURRED"],
  [0x2a00, "PARAMETERS CHANGED"],
  [0x2a01, "MODE PARAMETERS CHANGED"],
  [0x2a03, "RESERVATIONS PREEMPTED"],
  [0x2a04, "RESERVATIONS RELEASED"],
  [0x2a05, "REGISTRATIONS PREEMPTED"],
  [0x2a06, "ASYMMETRIC ACCESS STATE CHANGED"],
  [0x2a07, "IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED"],
  [0x2a09, "CAPACITY DATA HAS CHANGED"],
  [0x2c00, "COMMAND SEQUENCE ERROR"],
  [0x2f00, "COMMANDS CLEARED BY ANOTHER INITIATOR"],
  [0x3100, "MEDIUM FORMAT CORRUPTED"],
  [0x3807, "THIN PROVISIONING SOFT THRESHOLD REACHED"],
  [0x3900, "SAVING PARAMETERS NOT SUPPORTED"],
  [0x3a00, "MEDIUM NOT PRESENT"],
  [0x3e00, "LOGICAL UNIT HAS NOT SELF-CONFIGURED YET"],
  [0x3e01, "LOGICAL UNIT FAILURE"],
  [0x3f01, "MICROCODE HAS BEEN CHANGED"],
  [0x3f03, "INQUIRY DATA HAS CHANGED"],
  [0x3f0e, "REPORTED LUNS DATA HAS CHANGED"],
  [0x4400, "INTERNAL TARGET FAILURE"],
  [0x4705, "PROTOCOL SERVICE CRC ERROR"],
  [0x4800, "INITIATOR DETECTED ERROR MESSAGE RECEIVED"],
  [0x4900, "INVALID MESSAGE ERROR"],
  [0x4e00, "OVERLAPPED COMMANDS ATTEMPTED"],
  [0x5302, "MEDIUM REMOVAL PREVENTED"],
  [0x5500, "SYSTEM RESOURCE FAILURE"],
  [0x5d00, "FAILURE PREDICTION THRESHOLD EXCEEDED"],
  [0x670a, "SET TARGET PORT GROUPS COMMAND FAILED"],
])

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")

export const senseKeyText = (key: number): string => keyTexts[key as SenseKey] ?? `sense key ${hex(key, 1)}h`

/** The standard's words for an additional sense code (ASC in the high byte), or its number. */
export const ascText = (asc: number): string =>
  ascTexts.get(asc) ?? `ASC ${hex(asc >> 8, 2)}h ASCQ ${hex(asc & 0xff, 2)}h`

/** For people: "ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00) at byte 2, bit 4 of the CDB". */
export function senseText({ key, asc, detail, deferred }: Sense): string {
  const numbers = `${hex(key, 1)}/${hex(asc >> 8, 2)}/${hex(asc & 0xff, 2)}`
  const { field, information } = detail
  const bit = field?.bit === undefined ? "" : `, bit ${field.bit}`
  const list = field?.in === "cdb" ? "the CDB" : "the parameter list"
  return [
    deferred ? "deferred: " : "",
    `${senseKeyText(key)}, ${ascText(asc)} (${numbers})`,
    field ? ` at byte ${field.byte}${bit} of ${list}` : "",
    information === undefined ? "" : `, information ${information}`,
  ].join("")
}
