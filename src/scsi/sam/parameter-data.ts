import type { DataBuffer } from "../../base/buffers.ts"
import { type Completion, isPromise } from "../../base/completion.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { Task } from "./task.ts"

/** Sends parameter data, cut to what the CDB's ALLOCATION LENGTH allows (SPC-4 §4.2.5.6). */
export function sendParameterData(task: Task, data: Uint8Array, allocationBytes: number): Completion {
  const bytes = Math.min(data.length, allocationBytes)
  task.dataInBytes = bytes
  const sent = Math.min(bytes, task.dataInBytesMax)
  if (sent === 0) return
  const buffer = task.allocateDataIn(sent)
  if (isPromise(buffer)) return buffer.then((later) => sendCopy(task, data, later, sent))
  sendCopy(task, data, buffer, sent)
}

function sendCopy(task: Task, data: Uint8Array, buffer: DataBuffer, bytes: number): void {
  buffer.bytes.set(bytes === data.length ? data : data.subarray(0, bytes))
  task.sendDataIn(0, buffer, bytes, true)
}

/**
 * Fetches a parameter list of PARAMETER LIST LENGTH `bytes`, a copy of the command's own. Throws SenseError PARAMETER
 * LIST LENGTH ERROR when that is more than `bytesMax`, or more than the initiator sends.
 */
export async function receiveParameterList(task: Task, bytes: number, bytesMax: number): Promise<Uint8Array> {
  task.dataOutBytes = bytes
  if (bytes > bytesMax) throw parameterListLengthError(`a parameter list has at most ${bytesMax} bytes here`)
  if (bytes > task.dataOutBytesMax) {
    throw parameterListLengthError(`the initiator sends ${task.dataOutBytesMax} of ${bytes} bytes`)
  }
  if (bytes === 0) return new Uint8Array(0)
  const buffer = await task.receiveDataOut(0, bytes)
  const list = Uint8Array.from(buffer.bytes.subarray(0, bytes)) // a Buffer's slice would be no copy
  buffer.release()
  return list
}

export const parameterListLengthError = (message: string): SenseError =>
  new SenseError(SenseKey.illegalRequest, Asc.parameterListLengthError, message)
