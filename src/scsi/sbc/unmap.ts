import type { Completion } from "../../base/completion.ts"
import { UNMAP_BLOCKS_MAX, UNMAP_DESCRIPTORS_MAX } from "../../base/limits.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import { u16, u32 } from "../cdb/fields.ts"
import { invalidFieldInParameterList } from "../sam/field-error.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { u64 } from "./fields.ts"
import { throwIfAborted } from "./medium.ts"
import { bytesOf } from "./transfer.ts"

const HEADER_BYTES = 8
const DESCRIPTOR_BYTES = 16
const LIST_BYTES_MAX = HEADER_BYTES + UNMAP_DESCRIPTORS_MAX * DESCRIPTOR_BYTES

interface UnmapDescriptor {
  readonly lba: number
  readonly blocks: number
}

/**
 * UNMAP (SBC-3 §5.28). All descriptors are checked before the first acts. An empty parameter list, and descriptors
 * of no blocks, are no error.
 */
export function unmap(task: Task, unit: DiskUnit): Completion {
  unit.counters.writeCommands++
  unit.checkWritable()
  const listBytes = u16(task.cdb, 7)
  task.dataOutBytes = listBytes
  if (listBytes === 0) return
  const received = Math.min(listBytes, task.dataOutBytesMax)
  if (received < HEADER_BYTES) {
    const message = `an UNMAP parameter list has at least ${HEADER_BYTES} bytes`
    throw new SenseError(SenseKey.illegalRequest, Asc.parameterListLengthError, message)
  }
  return fetchAndUnmap(task, unit, received)
}

async function fetchAndUnmap(task: Task, unit: DiskUnit, listBytes: number): Promise<void> {
  // One descriptor more than we take is enough to know that there are too many.
  const fetched = Math.min(listBytes, LIST_BYTES_MAX + DESCRIPTOR_BYTES)
  const buffer = await task.receiveDataOut(0, fetched)
  let descriptors: UnmapDescriptor[]
  try {
    descriptors = parseUnmapList(bytesOf(buffer, fetched), unit)
  } finally {
    buffer.release()
  }
  for (const { lba, blocks } of descriptors) {
    await unit.medium.discard(lba * unit.blockBytes, blocks * unit.blockBytes, task)
    throwIfAborted(task)
  }
}

/** Descriptors cut short by a length are ignored (SBC-3 §5.28.2). Throws SenseError. */
function parseUnmapList(list: Uint8Array, unit: DiskUnit): UnmapDescriptor[] {
  const described = Math.min(u16(list, 2), list.length - HEADER_BYTES)
  const count = Math.floor(described / DESCRIPTOR_BYTES)
  if (count > UNMAP_DESCRIPTORS_MAX) {
    throw invalidFieldInParameterList(`UNMAP takes at most ${UNMAP_DESCRIPTORS_MAX} descriptors`, 2)
  }
  const descriptors: UnmapDescriptor[] = []
  let total = 0
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + i * DESCRIPTOR_BYTES
    const descriptor = { lba: u64(list, at), blocks: u32(list, at + 8) }
    unit.checkRange(descriptor.lba, descriptor.blocks)
    total += descriptor.blocks
    if (total > UNMAP_BLOCKS_MAX) {
      throw invalidFieldInParameterList(`UNMAP takes at most ${UNMAP_BLOCKS_MAX} blocks`, at + 8)
    }
    if (descriptor.blocks !== 0) descriptors.push(descriptor)
  }
  return descriptors
}
