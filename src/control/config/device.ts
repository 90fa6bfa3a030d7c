import { resolve } from "node:path"
import * as z from "zod"
import type { Delays, FaultRule } from "../../backstore/index.ts"
import { FAULT_RULES_MAX } from "../../base/limits.ts"
import type { ConfigurationContext } from "./context.ts"
import { section, size } from "./fields.ts"

export type CacheMode = "write-back" | "write-through" | "direct"

/** A block device as configured; paths are absolute. */
export type DeviceConfiguration =
  | { readonly type: "file"; readonly path: string; readonly sizeBytes?: number; readonly cache: CacheMode }
  | { readonly type: "block"; readonly path: string; readonly cache: CacheMode }
  | { readonly type: "memory"; readonly sizeBytes: number }
  | { readonly type: "null"; readonly sizeBytes: number }
  | { readonly type: "readonly"; readonly on: DeviceConfiguration }
  | { readonly type: "delay"; readonly on: DeviceConfiguration; readonly delaysMs: Delays }
  | { readonly type: "encrypted"; readonly on: DeviceConfiguration; readonly keyFile: string }
  | { readonly type: "fault"; readonly on: DeviceConfiguration; readonly rules: readonly FaultRule[] }

const cache = () =>
  z
    .enum(["write-back", "write-through", "direct"])
    .default("write-back")
    .describe(
      "write-back: the system's cache, flushed when the initiator says so; direct: past it (O_DIRECT)",
    )

const milliseconds = () => z.number().min(0).max(3_600_000)

/** Drawn evenly from a range. */
const spread = () =>
  section({ minMs: milliseconds(), maxMs: milliseconds() }).refine(({ minMs, maxMs }) => minMs <= maxMs, {
    error: "expected a minMs of at most maxMs",
  })

const delay = () =>
  z
    .union([milliseconds(), spread()], {
      error: "expected milliseconds, or a section with minMs and maxMs",
    })
    .exactOptional()

/** Milliseconds added to each operation of a kind. */
const delays = () =>
  section({ read: delay(), write: delay(), flush: delay(), discard: delay(), writeZeroes: delay() })

const count = () => z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const reason = () => z.enum(["io", "no-space", "read-only", "write-lost"])

const faultRule = () =>
  section({
    operations: z
      .array(z.enum(["read", "write", "flush", "discard", "writeZeroes"]))
      .min(1)
      .exactOptional()
      .describe("Default: all"),
    range: section({ offset: size(), length: size(1) })
      .transform(({ offset, length }) => ({ offsetBytes: offset, lengthBytes: length }))
      .exactOptional()
      .describe("Only operations that touch these bytes"),
    skip: count().exactOptional().describe("Matching operations let through first"),
    probability: z.number().min(0).max(1).exactOptional().describe("Default: 1, always"),
    count: count().exactOptional().describe("How often it strikes; default: without end"),
    effect: z
      .discriminatedUnion("kind", [
        section({ kind: z.literal("error"), reason: reason() }),
        section({ kind: z.literal("torn"), bytes: size(), reason: reason().exactOptional() }),
        section({ kind: z.literal("hang") }),
      ])
      .describe("error: nothing is done; torn: the first bytes are done, then it fails; hang: until aborted"),
  })

export function device(at: ConfigurationContext): z.ZodType<DeviceConfiguration> {
  const path = () =>
    z
      .string()
      .min(1)
      .transform((given) => resolve(at.directory, given))
  const sized = () => size(512).describe("Such as 512MiB or 10G")
  const on: z.ZodType<DeviceConfiguration> = z.lazy(() => whole).describe("The device below")
  const file = section({
    type: z.literal("file"),
    path: path().describe("Image; relative to the configuration file"),
    size: sized().exactOptional().describe("It is created as a sparse file of this size when there is none"),
    cache: cache(),
  }).transform(({ size: sizeBytes, ...rest }) => (sizeBytes === undefined ? rest : { ...rest, sizeBytes }))
  const block = section({
    type: z.literal("block"),
    path: path().describe("Block special file; a name below /dev/disk/by-id lasts"),
    cache: cache(),
  })
  const memory = section({ type: z.literal("memory"), size: sized() }).transform((given) => {
    return { type: given.type, sizeBytes: given.size }
  })
  // In YAML a bare null is no text: both spellings are taken.
  const none = section({ type: z.literal(["null", null]), size: sized() }).transform((given) => {
    return { type: "null" as const, sizeBytes: given.size }
  })
  const readonly = section({ type: z.literal("readonly"), on })
  const delayed = section({ type: z.literal("delay"), on, delaysMs: delays() })
  const encrypted = section({
    type: z.literal("encrypted"),
    on,
    keyFile: path().describe("File with the key, of 32 bytes: raw, in hexadecimal or in base64"),
  })
  const fault = section({
    type: z.literal("fault"),
    on,
    rules: z.array(faultRule()).min(1).max(FAULT_RULES_MAX),
  })
  const kinds = [file, block, memory, none, readonly, delayed, encrypted, fault] as const
  const whole = z.discriminatedUnion("type", kinds).meta({ id: "device" })
  return whole
}
