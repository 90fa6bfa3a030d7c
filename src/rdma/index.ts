/** The RDMA door: the verbs, and what provides them. */
export * from "./loopback/index.ts"
export * from "./verbs/index.ts"
