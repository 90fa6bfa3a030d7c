import { decodeText, encodeText, splitText, TextGatherer, type TextPair } from "../../wire/text.ts"

/**
 * Texts that don't fit a PDU, both ways (RFC 7143 §6.2, the C bit): gathers what comes in, hands out what goes out
 * piece by piece.
 */
export class TextExchange {
  readonly #incoming = new TextGatherer()
  #outgoing: Uint8Array[] = []

  /** A data segment has come. Returns the whole text once it's complete (no C bit). Throws TextError. */
  receive(segment: Uint8Array, more: boolean): TextPair[] | undefined {
    this.#incoming.add(segment)
    return more ? undefined : decodeText(this.#incoming.take())
  }

  /** Queues a text, to be sent in segments of at most `segmentBytesMax`. */
  send(pairs: readonly TextPair[], segmentBytesMax: number): void {
    this.#outgoing.push(...splitText(encodeText(pairs), segmentBytesMax))
  }

  /** Whether something is still to be sent. */
  get pending(): boolean {
    return this.#outgoing.length > 0
  }

  /** The next data segment (empty when there is none) and whether more follows: the C bit. */
  next(): { segment: Uint8Array; more: boolean } {
    const segment = this.#outgoing.shift() ?? new Uint8Array(0)
    return { segment, more: this.#outgoing.length > 0 }
  }
}
