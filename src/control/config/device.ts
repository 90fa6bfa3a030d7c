import { resolve } from "node:path"
import * as z from "zod"
import type { ConfigurationContext } from "./context.ts"
import { section, size } from "./fields.ts"

export type CacheMode = "write-back" | "write-through" | "direct"

/** Milliseconds added to each operation of a kind. */
export interface DelayConfiguration {
  readonly readMs?: number
  readonly writeMs?: number
  readonly flushMs?: number
}

/** A block device as configured; paths are absolute. */
export type DeviceConfiguration =
  | { readonly type: "file"; readonly path: string; readonly sizeBytes?: number; readonly cache: CacheMode }
  | { readonly type: "block"; readonly path: string; readonly cache: CacheMode }
  | { readonly type: "memory"; readonly sizeBytes: number }
  | { readonly type: "null"; readonly sizeBytes: number }
  | { readonly type: "readonly"; readonly on: DeviceConfiguration }
  | ({ readonly type: "delay"; readonly on: DeviceConfiguration } & DelayConfiguration)

const cache = () =>
  z
    .enum(["write-back", "write-through", "direct"])
    .default("write-back")
    .describe(
      "write-back: the system's cache, flushed when the initiator says so; direct: past it (O_DIRECT)",
    )

const milliseconds = () => z.number().min(0).max(3_600_000).exactOptional()

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
  const delay = section({
    type: z.literal("delay"),
    on,
    readMs: milliseconds(),
    writeMs: milliseconds(),
    flushMs: milliseconds(),
  })
  const kinds = [file, block, memory, none, readonly, delay] as const
  const whole = z.discriminatedUnion("type", kinds).meta({ id: "device" })
  return whole
}
