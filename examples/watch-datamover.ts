// The Datamover primitives (RFC 5047) of a session as they happen, at both ends: a write and a read of 1 MiB, once over
// TCP, where they become R2T, Data-Out and Data-In PDUs, and once over iSER, where they become RDMA Reads and Writes.
//   node --import tsx examples/watch-datamover.ts
import { subscribe } from "node:diagnostics_channel"
import { Disk, Target } from "sanlet"
import { MemoryStore } from "sanlet/backstore"
import { daPrimitives, type DaTrace } from "sanlet/iscsi"

// Who subscribes to no channel pays nothing. What is subscribed to later counts for later connections.
for (const primitive of daPrimitives) {
  subscribe(`sanlet:da:${primitive}`, (message) => print(message as DaTrace))
}

let watching = false
const began = performance.now()

function print({
  primitive,
  role,
  direction,
  pdu,
  initiatorTaskTag,
  bufferOffset,
  bytes,
  error,
}: DaTrace): void {
  if (!watching) return
  const ms = (performance.now() - began).toFixed(2).padStart(9)
  const arrow = direction === "down" ? "->" : "<-"
  const what = [
    pdu?.pdu,
    initiatorTaskTag === undefined ? undefined : `task ${initiatorTaskTag}`,
    bytes === undefined ? undefined : `${bytes} bytes at ${bufferOffset}`,
    error?.message,
  ]
  const margin = role === "initiator" ? "" : " ".repeat(37)
  console.log(
    `${ms} ms     ${margin}${arrow} ${primitive}  ${what.filter((part) => part !== undefined).join(", ")}`,
  )
}

/** What either end's iSCSI layer asks of its datamover (->), and is told by it (<-). */
function heading(what: string): void {
  console.log(`\n${what.padEnd(17)}initiator${" ".repeat(28)}target`)
}

const target = new Target({ name: "iqn.2026-01.org.example:watched" })
target.addLogicalUnit(0, new MemoryStore({ sizeBytes: 64 * 2 ** 20 }))
const portal = await target.listen({ host: "127.0.0.1", port: 0 })
for (const transport of ["tcp", "iser"] as const) {
  const disk = await Disk.open(`iscsi://${portal.address}/${target.name}/0`, { transport })
  const data = new Uint8Array(2 ** 20)
  watching = true
  heading(`write over ${disk.session.transport}`)
  await disk.writeBlocks(0, data)
  heading(`read over ${disk.session.transport}`)
  await disk.readBlocks(0, data)
  watching = false
  await disk.close()
}
await target.close()
