/**
 * Access rights of a memory region, or'ed together (IB spec §10.6; the values are ibv_access_flags'). Reading
 * locally is always allowed.
 */
export const Access = {
  /** Receives and RDMA Reads of this side may put data there. */
  LocalWrite: 1,
  /** The peer may RDMA Write to it. Asks for LocalWrite as well, as ibv_reg_mr does. */
  RemoteWrite: 2,
  /** The peer may RDMA Read from it. */
  RemoteRead: 4,
} as const

/** The rights that give a peer anything at all, and with it the right to invalidate the region's key. */
export const REMOTE_ACCESS = Access.RemoteWrite | Access.RemoteRead

const ALL = Access.LocalWrite | REMOTE_ACCESS

/** Whether `access` is a set of rights a region can have. */
export const isAccess = (access: number): boolean =>
  (access & ~ALL) === 0 && ((access & Access.RemoteWrite) === 0 || (access & Access.LocalWrite) !== 0)
