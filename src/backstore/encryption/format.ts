import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto"
import type { Random } from "../../base/random.ts"
import { crc32c } from "../../wire/crc32c.ts"
import { XTS_KEY_BYTES } from "./xts.ts"

/**
 * How an encrypted device lies on the one below. All numbers are big-endian.
 *
 *     0        header: "SANLETCR", version (4), cipher (4), sequence (8), first data byte (8), salt (32), nonce (12), zeroes (4),
 *              wrapped media key (64), tag (16), CRC-32C of these 160 (4); zeroes up to 4096
 *     524288   the same once more
 *     1048576  data unit 0: 512 bytes by XTS-AES-256, its number the tweak
 *     ...      data unit 1
 *
 * The media key is wrapped by AES-256-GCM under a key that HKDF-SHA256 makes of the key file and the salt; what stands
 * before the nonce is authenticated with it. Of two copies the one with the higher sequence counts. All that isn't zeroes lies in one sector.
 *
 * A data unit of zeroes was never written or was unmapped, and reads as zeroes: a hole of the device below is one here. No plaintext
 * makes such a unit: it would have to be met by 4096 bits that come out as if by chance. Whoever can change the storage can
 * make zeroes of a unit this way, but XTS doesn't keep anybody from changing data anyway.
 *
 * Units are of 512 bytes since that is what storage writes as a whole: a larger one, torn by a crash, would take
 * blocks with it that nobody wrote.
 */
export const HEADER_BYTES = 4096
export const COPY_OFFSETS: readonly number[] = [0, 512 * 1024]
export const DATA_OFFSET = 1024 * 1024
/** Of a key file, and of the key that wraps. */
export const KEY_BYTES = 32
const FORMAT_VERSION = 1
const XTS_AES_256 = 1
const MAGIC = Buffer.from("SANLETCR", "latin1")
const SALT_AT = 32
const NONCE_AT = 64
const NONCE_BYTES = 12
const WRAPPED_AT = 80
const TAG_AT = WRAPPED_AT + XTS_KEY_BYTES
const TAG_BYTES = 16
const SUM_AT = TAG_AT + TAG_BYTES
const WRAP = "aes-256-gcm"

/** A new header with the media key in it, wrapped by the key of a key file. */
export function encodeHeader(
  sequence: number,
  mediaKey: Uint8Array,
  key: Uint8Array,
  random: Random,
): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.set(MAGIC)
  const view = viewOf(header)
  view.setUint32(8, FORMAT_VERSION)
  view.setUint32(12, XTS_AES_256)
  view.setBigUint64(16, BigInt(sequence))
  view.setBigUint64(24, BigInt(DATA_OFFSET))
  random.fill(header.subarray(SALT_AT, NONCE_AT + NONCE_BYTES))
  const wrap = createCipheriv(WRAP, wrappingKey(key, header), nonceOf(header))
  wrap.setAAD(header.subarray(0, NONCE_AT))
  header.set(wrap.update(mediaKey), WRAPPED_AT)
  wrap.final()
  header.set(wrap.getAuthTag(), TAG_AT)
  view.setUint32(SUM_AT, crc32c(header, 0, SUM_AT))
  return header
}

/** What is known of a header without its key: whole, with the sequence; of another version; or no header that can be used. */
export type HeaderState =
  | { readonly kind: "whole"; readonly sequence: number }
  | { readonly kind: "unknown"; readonly version: number }
  | { readonly kind: "damaged" }
  | { readonly kind: "none" }

export function inspectHeader(header: Buffer): HeaderState {
  if (MAGIC.compare(header, 0, MAGIC.length) !== 0) return { kind: "none" }
  const view = viewOf(header)
  const version = view.getUint32(8)
  if (version === 0) return { kind: "damaged" }
  if (version !== FORMAT_VERSION) return { kind: "unknown", version }
  const known = view.getUint32(12) === XTS_AES_256 && view.getBigUint64(24) === BigInt(DATA_OFFSET)
  const whole = view.getUint32(SUM_AT) === crc32c(header, 0, SUM_AT)
  return known && whole ? { kind: "whole", sequence: Number(view.getBigUint64(16)) } : { kind: "damaged" }
}

/** The media key of a whole header; undefined: it was wrapped by another key. */
export function unwrapMediaKey(header: Buffer, key: Uint8Array): Buffer | undefined {
  const unwrap = createDecipheriv(WRAP, wrappingKey(key, header), nonceOf(header))
  unwrap.setAAD(header.subarray(0, NONCE_AT))
  unwrap.setAuthTag(header.subarray(TAG_AT, TAG_AT + TAG_BYTES))
  try {
    const mediaKey = unwrap.update(header.subarray(WRAPPED_AT, TAG_AT))
    unwrap.final()
    return mediaKey
  } catch {
    return undefined
  }
}

/** Both halves differ, as IEEE 1619-2018 asks for. */
export function newMediaKey(random: Random): Buffer {
  const key = Buffer.alloc(XTS_KEY_BYTES)
  do random.fill(key)
  while (key.subarray(0, 32).equals(key.subarray(32)))
  return key
}

/** The key for what is kept elsewhere of the device's content: it goes with the media key, and tells nothing of it. */
export const siblingKey = (mediaKey: Uint8Array): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", mediaKey, "", "sanlet undo log", XTS_KEY_BYTES))

const wrappingKey = (key: Uint8Array, header: Buffer): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", key, header.subarray(SALT_AT, NONCE_AT), "sanlet media key", KEY_BYTES))

const nonceOf = (header: Buffer): Buffer => header.subarray(NONCE_AT, NONCE_AT + NONCE_BYTES)

const viewOf = (header: Buffer): DataView => new DataView(header.buffer, header.byteOffset, header.length)
