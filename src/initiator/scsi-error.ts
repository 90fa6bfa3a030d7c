import { nameOf } from "../iscsi/spec/name-of.ts"
import { senseText } from "../scsi/spec/sense-text.ts"
import { Status } from "../scsi/spec/status.ts"
import { ScsiError, type ScsiResult } from "./command.ts"

/** The error a status other than GOOD is for who didn't ask for statuses; `command` is what people call it. */
export function scsiError(command: string, result: ScsiResult): ScsiError {
  const name = nameOf(Status, result.status)
  const code = `ERR_SCSI_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
  const why = result.sense ? senseText(result.sense) : name
  return new ScsiError(code, `${command}: ${why}`, result)
}
