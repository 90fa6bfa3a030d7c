import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { SanletError } from "../../../src/base/errors.ts"
import { AccessList } from "../../../src/target/access.ts"

describe("AccessList", () => {
  it("lets everybody in when it says nothing", () => {
    assert.equal(new AccessList().allows("iqn.2026-01.org.example:any", "192.0.2.1"), true)
  })

  it("matches names whole, exact or with wildcards, without regard to case", () => {
    const list = new AccessList({
      initiators: ["iqn.2026-01.org.example:host1", "iqn.2026-01.org.example:esx*", "eui.02004567A425678?"],
    })
    const verdict = (name: string) => list.allowsInitiator(name)
    assert.equal(verdict("iqn.2026-01.org.example:host1"), true)
    assert.equal(verdict("IQN.2026-01.org.example:HOST1"), true)
    assert.equal(verdict("iqn.2026-01.org.example:host12"), false)
    assert.equal(verdict("iqn.2026-01.org.example:esx-07"), true)
    assert.equal(verdict("xiqn.2026-01.org.example:esx-07"), false)
    assert.equal(verdict("eui.02004567a425678d"), true)
    assert.equal(verdict("eui.02004567a425678dd"), false)
  })

  it("takes a dot of a pattern for a dot", () => {
    assert.equal(new AccessList({ initiators: ["iqn.a"] }).allowsInitiator("iqnxa"), false)
  })

  it("allows and denies addresses and networks of both families; deny is stronger", () => {
    const list = new AccessList({
      allow: ["192.0.2.0/24", "2001:db8::/32"],
      deny: ["192.0.2.66", "2001:db8:bad::/48"],
    })
    const allowed = ["192.0.2.1", "::ffff:192.0.2.7", "2001:db8::1", "2001:db8::1%eth0"]
    const denied = ["192.0.3.1", "192.0.2.66", "::ffff:192.0.2.66", "2001:db8:bad::1", "2001:db9::1"]
    for (const address of allowed) assert.equal(list.allowsAddress(address), true, address)
    for (const address of denied) assert.equal(list.allowsAddress(address), false, address)
  })

  it("refuses what is no address, and says so", () => {
    for (const bad of [
      "",
      "host",
      "192.0.2.0/33",
      "192.0.2.0/",
      "2001:db8::/129",
      "10.0.0.0/8/8",
      "10.0.0.0/-1",
    ]) {
      assert.throws(
        () => new AccessList({ allow: [bad] }),
        (error: unknown) => error instanceof SanletError && error.code === "ERR_ACCESS_ADDRESS",
        bad,
      )
    }
  })
})
