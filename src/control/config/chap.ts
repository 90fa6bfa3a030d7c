import { resolve } from "node:path"
import * as z from "zod"
import { ChapAlgorithm, ChapSecret, checkChap } from "../../iscsi/login/chap.ts"
import type { ConfigurationContext } from "./context.ts"
import { section } from "./fields.ts"

const algorithms = {
  MD5: ChapAlgorithm.MD5,
  SHA1: ChapAlgorithm.SHA1,
  "SHA-256": ChapAlgorithm.SHA256,
  "SHA3-256": ChapAlgorithm.SHA3_256,
} as const

const SOURCES = ["secret", "secretFile", "secretEnv"] as const
type Source = (typeof SOURCES)[number]

/** A CHAP name with its secret: written here, or read from a file or an environment variable. */
function credentials(at: ConfigurationContext) {
  return section({
    name: z.string().min(1).describe("CHAP name (CHAP_N)"),
    secret: z.string().min(1).exactOptional().describe("The secret itself; better kept out of this file"),
    secretFile: z
      .string()
      .min(1)
      .exactOptional()
      .describe("File that holds the secret, and perhaps a newline"),
    secretEnv: z.string().min(1).exactOptional().describe("Environment variable that holds the secret"),
  })
    .meta({ oneOf: SOURCES.map((source) => ({ required: [source] })) })
    .transform((given, context) => {
      const sources = SOURCES.filter((source) => given[source] !== undefined)
      if (sources.length !== 1) {
        const message = `expected exactly one of ${SOURCES.join(", ")}, found ${sources.join(" and ") || "none"}`
        context.addIssue({ code: "custom", message })
        return z.NEVER
      }
      const source = sources[0]!
      const found = readSecret(source, given[source]!, at)
      if ("problem" in found) {
        context.addIssue({ code: "custom", message: found.problem, path: [source] })
        return z.NEVER
      }
      return { name: given.name, secret: new ChapSecret(found.secret) }
    })
}

function readSecret(
  source: Source,
  value: string,
  at: ConfigurationContext,
): { secret: string } | { problem: string } {
  if (source === "secret") return { secret: value }
  if (source === "secretEnv") {
    const secret = at.env[value]
    return secret ? { secret } : { problem: `the environment variable ${value} is not set` }
  }
  const path = resolve(at.directory, value)
  try {
    const secret = at.readFile(path).replace(/\r?\n$/, "")
    return secret ? { secret } : { problem: `${path} is empty` }
  } catch (error) {
    return {
      problem: `cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`,
    }
  }
}

/** Who may log in, how they prove it, and how we prove ourselves when asked (mutual CHAP). */
export function chap(at: ConfigurationContext) {
  return section({
    users: z.array(credentials(at)).min(1).describe("Whoever proves to be one of these gets in"),
    mutual: credentials(at)
      .exactOptional()
      .describe("How the target proves itself to an initiator that asks; its secret must be another one"),
    algorithms: z
      .array(z.enum(["SHA3-256", "SHA-256", "SHA1", "MD5"]))
      .min(1)
      .exactOptional()
      .describe("In order of preference; default: SHA3-256, SHA-256, SHA1, MD5"),
  }).transform((given, context) => {
    try {
      checkChap(given.users, given.mutual)
    } catch (error) {
      context.addIssue({ code: "custom", message: (error as Error).message })
      return z.NEVER
    }
    return {
      users: given.users,
      ...(given.mutual && { outgoing: given.mutual }),
      ...(given.algorithms && { algorithms: given.algorithms.map((name) => algorithms[name]) }),
    }
  })
}
