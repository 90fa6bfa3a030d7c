/** The RDMA door: the verbs, and what provides them. */
export * from "./iwarp/index.ts"
export * from "./loopback/index.ts"
export * from "./verbs/index.ts"
