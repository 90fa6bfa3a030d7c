/**
 * The root of every error sanlet throws on purpose. `code` is stable and listed in docs/errors.md; the message
 * is one readable line. Anything else that escapes is a bug.
 */
export class SanletError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}
