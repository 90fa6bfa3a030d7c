/**
 * The result of an operation that usually ends at once: nothing when it has ended, a promise when it goes on.
 * A failure is thrown in the first case and rejects in the second. It keeps the fast path free of awaits.
 */
export type Completion = void | Promise<void>

/** The same for an operation with a result. */
export type Eventually<T> = T | Promise<T>

export const isPromise = <T>(value: T | Promise<T>): value is Promise<T> => value instanceof Promise
