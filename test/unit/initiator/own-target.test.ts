import { MemoryStore } from "../../../src/backstore/index.ts"
import { Disk } from "../../../src/initiator/index.ts"
import { Target } from "../../../src/target/target.ts"
import { diskSuite } from "../../suites/disk.ts"

diskSuite({
  name: "our own target",
  async start() {
    const target = new Target({ name: "iqn.2026-01.org.example:own" })
    target.addLogicalUnit(0, new MemoryStore({ sizeBytes: 64 * 1024 * 1024 }))
    const portal = await target.listen({ host: "127.0.0.1", port: 0 })
    const url = `iscsi://127.0.0.1:${portal.endpoint.port}/${target.name}/0`
    return { open: (options = {}) => Disk.open(url, options), close: () => target.close() }
  },
})
