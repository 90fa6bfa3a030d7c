/**
 * What it costs to read and write a 48-byte header: the views made from the PDU tables beside the ways one could do it
 * by hand, and the digest. Nanoseconds per operation, best of five; the sum proves that the work was done.
 *
 *     npm run bench:wire
 */
import { crc32c } from "../src/wire/crc32c.ts"
import { DataIn, ScsiCommand } from "../src/iscsi/pdu/index.ts"

const BHS_BYTES = 48
const SLOTS = 256
const ROUNDS = 5

export interface WireResult {
  readonly name: string
  readonly nsPerOperation: number
  /** The same for the same count. */
  readonly sum: number
}

type Body = (count: number) => number

/** A ring of headers with varied content. */
function headers(): DataView {
  const view = new DataView(new ArrayBuffer(SLOTS * BHS_BYTES))
  for (let i = 0; i < view.byteLength; i++) view.setUint8(i, (i * 131 + (i >> 8)) & 0xff)
  return view
}

const at = (i: number): number => (i % SLOTS) * BHS_BYTES
const ring = headers()
const buffer = Buffer.from(ring.buffer)
const segment = new Uint8Array(8192).map((_, i) => i & 0xff)

function readFields(pdu: ScsiCommand): number {
  const scalars = pdu.initiatorTaskTag + pdu.expectedDataTransferLength + pdu.cmdSn + pdu.expStatSn
  return scalars + pdu.dataSegmentBytes + pdu.taskAttribute + (pdu.read ? 1 : 0) + (pdu.final ? 1 : 0)
}

const bodies: Readonly<Record<string, Body>> = {
  "read 8 fields, a fresh view": (count) => {
    let sum = 0
    for (let i = 0; i < count; i++) sum = (sum + readFields(new ScsiCommand(ring, at(i)))) % 0xffff_ffff
    return sum
  },
  "read 8 fields, a moved view": (count) => {
    let sum = 0
    const view = new ScsiCommand(ring, 0)
    for (let i = 0; i < count; i++) {
      view.at = at(i)
      sum = (sum + readFields(view)) % 0xffff_ffff
    }
    return sum
  },
  "read 4 words by hand, DataView": (count) => {
    let sum = 0
    for (let i = 0; i < count; i++) {
      const o = at(i)
      sum =
        (sum +
          ring.getUint32(o + 16) +
          ring.getUint32(o + 20) +
          ring.getUint32(o + 24) +
          ring.getUint32(o + 28)) %
        0xffff_ffff
    }
    return sum
  },
  "read 4 words by hand, Buffer": (count) => {
    let sum = 0
    for (let i = 0; i < count; i++) {
      const o = at(i)
      sum =
        (sum +
          buffer.readUInt32BE(o + 16) +
          buffer.readUInt32BE(o + 20) +
          buffer.readUInt32BE(o + 24) +
          buffer.readUInt32BE(o + 28)) %
        0xffff_ffff
    }
    return sum
  },
  "write a Data-In header, a moved view": (count) => {
    const out = new DataView(new ArrayBuffer(SLOTS * BHS_BYTES))
    const pdu = new DataIn(out, 0)
    for (let i = 0; i < count; i++) {
      pdu.at = at(i)
      pdu.opcode = DataIn.opcode
      pdu.final = true
      pdu.dataSegmentBytes = 4096
      pdu.initiatorTaskTag = i
      pdu.statSn = i + 1
      pdu.expCmdSn = i + 2
      pdu.maxCmdSn = i + 3
      pdu.bufferOffset = 0
    }
    return crc32c(new Uint8Array(out.buffer))
  },
  "CRC32C of a header": (count) => {
    let sum = 0
    const bytes = new Uint8Array(ring.buffer)
    for (let i = 0; i < count; i++) sum = (sum + crc32c(bytes, at(i), at(i) + BHS_BYTES)) % 0xffff_ffff
    return sum
  },
  "CRC32C of 8 KiB": (count) => {
    let sum = 0
    for (let i = 0; i < count; i += SLOTS) sum = (sum + crc32c(segment)) % 0xffff_ffff
    return sum
  },
}

/** Measures every way with `count` operations (8 KiB digests: one per 256). */
export function benchWire(count: number): WireResult[] {
  return Object.entries(bodies).map(([name, body]) => {
    let sum = 0
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < ROUNDS; round++) {
      const startedMs = performance.now()
      sum = body(count)
      best = Math.min(best, performance.now() - startedMs)
    }
    const operations = name.endsWith("8 KiB") ? Math.ceil(count / SLOTS) : count
    return { name, nsPerOperation: (best * 1e6) / operations, sum }
  })
}

if (process.argv[1] === import.meta.filename) {
  for (const { name, nsPerOperation, sum } of benchWire(1_000_000)) {
    console.log(`${name.padEnd(38)} ${nsPerOperation.toFixed(1).padStart(8)} ns   sum ${sum >>> 0}`)
  }
}
