import { formatBoolean, parseBoolean, parseNumber } from "../../wire/text.ts"
import type { KeyDefinition } from "../spec/keys.ts"
import type { Wish } from "./wishes.ts"

export type Value = boolean | number | string

/** No to an AND and Yes to an OR decide alone: the peer may leave out its answer, as LIO does (RFC 7143 §6.2.2). */
export function needsNoAnswer(
  { values }: KeyDefinition,
  proposed: Value | readonly string[] | undefined,
): boolean {
  return values.type === "boolean" && proposed === (values.result === "or")
}

export const isDigest = (key: string) => key === "HeaderDigest" || key === "DataDigest"

export const format = (value: Value | readonly string[]): string =>
  typeof value === "boolean"
    ? formatBoolean(value)
    : typeof value === "object"
      ? value.join(",")
      : String(value)

/** The default of a key that has one. */
export function defaultOf({ values }: KeyDefinition): Value {
  return "default" in values ? values.default : ""
}

/** A value of the key's type and range; undefined: it isn't one. */
export function parseValue({ values }: KeyDefinition, text: string): Value | undefined {
  switch (values.type) {
    case "boolean":
      return parseBoolean(text)
    case "number": {
      const number = parseNumber(text)
      if (number === undefined) return undefined
      if (number === 0 && values.zeroMeansNoLimit) return 0
      return number >= values.min && number <= values.max ? number : undefined
    }
    default:
      return text
  }
}

/** The key's result function applied to both sides' wishes. */
export function combine({ values }: KeyDefinition, a: Value, b: Value): Value {
  if (values.type === "boolean")
    return values.result === "and" ? a === true && b === true : a === true || b === true
  if (values.type !== "number") return a
  return values.result === "minimum" ? Math.min(a as number, b as number) : Math.max(a as number, b as number)
}

export const isDefault = (definition: KeyDefinition, wish: Wish): boolean =>
  format(wish) === format(defaultOf(definition))

/** Whether the default may stay in force although we wish for something else. */
export function acceptsDefault(definition: KeyDefinition, wish: Wish): boolean {
  if (definition.values.type === "list")
    return (wish as readonly string[]).includes(definition.values.default)
  // A matter of taste, and not worth another round.
  if (definition.key === "DefaultTime2Wait" || definition.key === "DefaultTime2Retain") return true
  const value = defaultOf(definition)
  return combine(definition, value, wish as Value) === value
}
