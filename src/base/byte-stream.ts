/** One end of a connection, for people and access lists. */
export interface Endpoint {
  /** An IPv4 or IPv6 address without brackets or zone. */
  readonly address: string
  readonly port: number
}

/** Who takes the bytes of a ByteStream. Every call comes from the event loop, never from within a call down. */
export interface ByteReceiver {
  /** Where the next bytes are to be put; at least one byte long. Asked before every read. */
  buffer(): Uint8Array
  /** The first `bytes` (at least 1) of the buffer last asked for are filled. */
  received(bytes: number): void
  /** The peer will send no more. */
  ended(): void
  /** The stream is gone, for whatever reason; comes exactly once, as the last call. */
  closed(error?: Error): void
}

/**
 * A reliable, ordered stream of bytes: a TCP connection, or one of the simulated network. It reads straight into
 * the receiver's memory and sends the caller's memory without joining it.
 */
export interface ByteStream {
  readonly local: Endpoint
  readonly remote: Endpoint
  /** Begins delivery; call once, before anything but `destroy`. */
  start(receiver: ByteReceiver): void
  /**
   * From now on `receiver` gets what comes, in the old one's place; at any time after `start`, also from within
   * `received`: then `receiver` is asked for the next buffer. What the old one gave is not written to any more. An `ended`
   * that came already isn't repeated; where `closed` has come already, it comes again, to the new one.
   */
  handOver(receiver: ByteReceiver): void
  /** Stops asking for bytes until `resume`. */
  pause(): void
  resume(): void
  /** Asks the receiver's `buffer` anew, at once: what it gave before will not be written to any more. */
  refreshBuffer(): void
  /**
   * Within `received`, and instead of the event loop: fills the pieces one behind the other with what has come already.
   * Returns how many bytes that were; 0 where nothing is here, or it can't be done.
   */
  readNow?(pieces: readonly Uint8Array[]): number
  /**
   * Sends the pieces in order, gathered in one system call where possible. They must stay untouched until `sent`
   * is called: from the event loop, once the system has them, or once the stream is closed. Returns true when the
   * system has them already: then they may be used again at once, while they are in the cache.
   */
  write(pieces: readonly Uint8Array[], sent?: () => void): boolean | void
  /** Bytes written that the system hasn't taken yet. */
  readonly pendingBytes: number
  /** Sends what is pending, then says goodbye (FIN). */
  end(): void
  /** Drops the connection at once; what is pending is lost. */
  destroy(error?: Error): void
}

export interface Listener {
  readonly local: Endpoint
  /** Stops accepting; streams that were accepted live on. */
  close(): Promise<void>
}

/** Where connections come from: the operating system, or a simulation. */
export interface Network {
  /** Rejects with a NetworkError, or the signal's reason. */
  connect(to: { host: string; port: number }, options?: { signal?: AbortSignal }): Promise<ByteStream>
  /** Port 0 picks one. Rejects with a NetworkError (address in use, not ours, no permission). */
  listen(at: { host: string; port: number }, accept: (stream: ByteStream) => void): Promise<Listener>
}
