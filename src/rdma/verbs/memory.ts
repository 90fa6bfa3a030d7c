import type { Device } from "./device.ts"

/**
 * What belongs together: a queue pair may only use regions of its own domain, and its peer only reaches those
 * (IB spec §10.2.3).
 */
export interface ProtectionDomain {
  readonly device: Device
  /**
   * Registers memory (ibv_reg_mr): from now on its keys are valid. `access` is a set of Access flags. The
   * memory must not be detached, moved or resized while registered. Throws VerbsError: ERR_RDMA_REGISTRATION
   * when the memory or the rights make no sense, ERR_RDMA_LIMIT when it is too much for the device.
   */
  registerMemory(bytes: Uint8Array, access: number): MemoryRegion
  /** ibv_dealloc_pd. Throws ERR_RDMA_BUSY while regions or queue pairs are in it. */
  deallocate(): void
}

/**
 * Registered memory. Keys and address change with `reregister` only. A peer reaches byte n of it as (rkey,
 * address + n).
 */
export interface MemoryRegion {
  readonly pd: ProtectionDomain
  /** The memory registered last. */
  readonly bytes: Uint8Array
  readonly access: number
  /** Names it in requests of this side. */
  readonly lkey: number
  /** Names it to the peer: the R_Key, iWARP's STag. Never 0. */
  readonly rkey: number
  /** Virtual address of its first byte, as two u32 (see address.ts). */
  readonly addressHigh: number
  readonly addressLow: number
  /**
   * False once it was invalidated, from here or by the peer's send with invalidate, until it is registered
   * again.
   */
  readonly valid: boolean
  /**
   * Takes the keys out of use: when it returns, nobody reaches the memory through them any more. Requests of
   * our own that still use it fail with a local protection error. Cheap where the device can
   * (capabilities.fastRegistration).
   */
  invalidate(): void
  /**
   * Registers this or other memory under keys that were not in use lately, so that old ones lead nowhere (a
   * fast registration, IB spec §10.6; ibv_rereg_mr). Throws as registerMemory does, and is left invalid then.
   */
  reregister(bytes: Uint8Array, access: number): void
  /** Gives it up for good (ibv_dereg_mr). */
  deregister(): void
}
