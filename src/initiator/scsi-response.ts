import type { ScsiResponse } from "../iscsi/pdu/index.ts"
import { decodeSense } from "../scsi/spec/sense.ts"
import { Status } from "../scsi/spec/status.ts"
import type { Command, ScsiResult } from "./command.ts"
import { TargetFailureError } from "./errors.ts"

/** Settles `command` with what its SCSI Response says; `data` is the PDU's data segment (RFC 7143 §11.4). */
export function settleByResponse(view: ScsiResponse, data: Uint8Array, command: Command): void {
  if (view.response !== 0) {
    return command.settle(undefined, new TargetFailureError(command.title, view.response))
  }
  const { dataOut, dataIn } = command.request
  const bidirectional =
    dataOut !== undefined && dataIn !== undefined && dataOut.length > 0 && dataIn.length > 0
  const residual = view.residualCount
  const short = view.underflow ? residual : 0
  const readShort = bidirectional
    ? view.bidirectionalReadUnderflow
      ? view.bidirectionalReadResidualCount
      : 0
    : short
  command.settle({
    status: view.status,
    dataInBytes: Math.max(0, (dataIn?.length ?? 0) - readShort),
    dataOutBytes: Math.max(0, (dataOut?.length ?? 0) - short),
    overflowBytes: view.overflow ? residual : 0,
    ...(view.status === Status.checkCondition && data.length > 2 && senseOf(data)),
  })
}

/** SenseLength in two bytes, the sense data, then response data (RFC 7143 §11.4.7). */
function senseOf(data: Uint8Array): Pick<ScsiResult, "sense" | "senseData"> {
  const length = (data[0]! << 8) | data[1]!
  const senseData = data.slice(2, 2 + length)
  const sense = decodeSense(senseData)
  return { senseData, ...(sense && { sense }) }
}
