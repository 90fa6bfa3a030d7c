/** Everything the target's tests say of TCP holds over iSER, but for what says why not. */
import { readdirSync, readFileSync } from "node:fs"
import { connectOver } from "../../suites/target-world.ts"

/** What tells the transports apart, and this file. */
const LEFT_OUT = ["arrival.test.ts", "late-rdma.test.ts", "over-iser.test.ts"]

connectOver("iser")
for (const folder of [".", "../iscsi/session"]) {
  for (const name of readdirSync(new URL(folder, import.meta.url))) {
    const file = new URL(`${folder}/${name}`, import.meta.url)
    if (!name.endsWith(".test.ts") || LEFT_OUT.includes(name)) continue
    if (readFileSync(file, "utf8").includes("target-world.ts")) await import(file.href)
  }
}
