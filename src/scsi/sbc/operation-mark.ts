/** What is done to every byte of the medium, the pattern beginning anew with each logical block. */
export type Treatment =
  /** Written so many times; inverted in between, so that the last pass writes the pattern itself (SBC-4, OVERWRITE). */
  | {
      readonly method: "overwrite"
      readonly pattern: Uint8Array
      readonly count: number
      readonly invert: boolean
    }
  /** Zeroes are written to the medium, then its storage is given back. */
  | { readonly method: "erase" }
  /** A new media key makes what was written unreadable, then the storage is given back. */
  | { readonly method: "new-key" }
  /** Reads as zeroes afterwards, and keeps its storage. */
  | { readonly method: "zero" }
  /** Reads as zeroes afterwards, and has no storage. */
  | { readonly method: "unmap" }
  /** Stays as it is. */
  | { readonly method: "keep" }

/** A sanitize or format operation that was begun and hasn't come to a good end: what is remembered of it. */
export interface OperationMark {
  readonly operation: "sanitize" | "format"
  readonly treatment: Treatment
  /** It ended with an error. */
  readonly failed: boolean
  /** AUSE: a failed sanitize operation can be left by EXIT FAILURE MODE. */
  readonly unrestrictedExit: boolean
}

export function encodeMark({ treatment, ...mark }: OperationMark): Uint8Array {
  const pattern = "pattern" in treatment && { pattern: Buffer.from(treatment.pattern).toString("hex") }
  return new TextEncoder().encode(JSON.stringify({ ...mark, treatment: { ...treatment, ...pattern } }))
}

/** What can't be read was a mark nonetheless: the medium counts as one whose sanitizing failed. */
const unreadable: OperationMark = {
  operation: "sanitize",
  treatment: { method: "keep" },
  failed: true,
  unrestrictedExit: false,
}

export function decodeMark(bytes: Uint8Array): OperationMark {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
    const { operation, failed, unrestrictedExit } = value
    const treatment = treatmentOf(value["treatment"] as Record<string, unknown>)
    const known = operation === "sanitize" || operation === "format"
    if (!known || treatment === undefined) return unreadable
    return { operation, treatment, failed: failed !== false, unrestrictedExit: unrestrictedExit === true }
  } catch {
    return unreadable
  }
}

function treatmentOf(value: Record<string, unknown>): Treatment | undefined {
  const { method, pattern, count, invert } = value
  if (method === "erase" || method === "zero" || method === "unmap" || method === "keep") return { method }
  if (method === "new-key") return { method }
  const bytes = Uint8Array.from(Buffer.from(String(pattern), "hex"))
  if (method !== "overwrite" || bytes.length === 0 || !(Number(count) >= 1)) return undefined
  return { method, pattern: bytes, count: Number(count), invert: invert === true }
}
