import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { SEND_TARGETS_BYTES_MAX } from "../../../src/base/limits.ts"
import {
  encodeSendTargets,
  encodeSendTargetsRequest,
  formatHostPort,
  parseHostPort,
  parseSendTargets,
  parseTargetAddress,
  SendTargetsError,
} from "../../../src/discovery/send-targets.ts"
import { TextError } from "../../../src/wire/text.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (encoded: Uint8Array) => new TextDecoder().decode(encoded)

describe("SendTargets", () => {
  it("asks for all, one, or the session's own", () => {
    assert.equal(text(encodeSendTargetsRequest("All")), "SendTargets=All\0")
    assert.equal(text(encodeSendTargetsRequest("")), "SendTargets=\0")
  })

  it("lists targets as RFC 7143 appendix C does", () => {
    const listed = [
      {
        name: "iqn.1993-11.com.example:diskarray.sn.8675309",
        addresses: [
          { address: "10.1.0.45:3000", portalGroupTag: 1 },
          { address: "[2001:db8::1]:3260", portalGroupTag: 2 },
        ],
      },
      { name: "eui.02004567a425678d", addresses: [] },
    ]
    const encoded = encodeSendTargets(listed)
    assert.equal(
      text(encoded),
      "TargetName=iqn.1993-11.com.example:diskarray.sn.8675309\0TargetAddress=10.1.0.45:3000,1\0" +
        "TargetAddress=[2001:db8::1]:3260,2\0TargetName=eui.02004567a425678d\0",
    )
    assert.deepEqual(parseSendTargets(encoded), listed)
    assert.equal(encodeSendTargets([]).length, 0)
    assert.deepEqual(parseSendTargets(new Uint8Array(0)), [])
  })

  it("joins records of one target, passes over other keys, forgives a missing tag and NUL", () => {
    const answer =
      "TargetName=iqn.2026-01.org.example:a\0TargetAddress=10.0.0.1:3260,1\0X-vendor=1\0" +
      "TargetName=iqn.2026-01.org.example:b\0TargetAddress=disks.example.org\0" +
      "TargetName=iqn.2026-01.org.example:A\0TargetAddress=10.0.0.2,7"
    assert.deepEqual(parseSendTargets(bytes(answer)), [
      {
        name: "iqn.2026-01.org.example:a",
        addresses: [
          { address: "10.0.0.1:3260", portalGroupTag: 1 },
          { address: "10.0.0.2", portalGroupTag: 7 },
        ],
      },
      {
        name: "iqn.2026-01.org.example:b",
        addresses: [{ address: "disks.example.org", portalGroupTag: 1 }],
      },
    ])
  })

  it("refuses what is none, with its own error", () => {
    for (const wrong of [
      "TargetName=disk\0",
      "TargetName=iqn.2026-01.org.example:a\0TargetAddress=10.0.0.1:0,1\0",
      "TargetName=iqn.2026-01.org.example:a\0TargetAddress=10.0.0.1,65536\0",
      "TargetName=iqn.2026-01.org.example:a\0TargetAddress=a b,1\0",
      "SendTargets=Reject\0",
    ]) {
      assert.throws(() => parseSendTargets(bytes(wrong)), SendTargetsError, wrong)
    }
    assert.throws(() => parseSendTargets(bytes("no equals sign\0")), TextError)
  })

  it("takes thousands of targets, but not without end", () => {
    const many = Array.from({ length: 5000 }, (_, i) => ({
      name: `iqn.2026-01.org.example:${i}`,
      addresses: [{ address: "10.0.0.1:3260", portalGroupTag: 1 }],
    }))
    assert.equal(parseSendTargets(encodeSendTargets(many)).length, 5000)
    assert.throws(() => parseSendTargets(new Uint8Array(SEND_TARGETS_BYTES_MAX + 1)), SendTargetsError)
  })

  it("survives any bytes with typed errors only", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (random) => {
        try {
          parseSendTargets(random)
        } catch (error) {
          assert.ok(error instanceof SendTargetsError || error instanceof TextError, String(error))
        }
      }),
    )
  })

  it("is the same after a round trip", () => {
    const plain = { noNullPrototype: true } as const
    const name = fc.stringMatching(/^[a-z0-9.-]{1,40}$/).map((end) => `iqn.2026-01.org.example:${end}`)
    const address = fc.record(
      {
        address: fc.oneof(
          fc.ipV4().map((ip) => `${ip}:3260`),
          fc.ipV6().map((ip) => `[${ip}]:860`),
        ),
        portalGroupTag: fc.nat(0xffff),
      },
      plain,
    )
    const targets = fc.uniqueArray(
      fc.record({ name, addresses: fc.array(address, { maxLength: 4 }) }, plain),
      {
        selector: (target) => target.name,
        maxLength: 12,
      },
    )
    fc.assert(
      fc.property(targets, (listed) => {
        assert.deepEqual(parseSendTargets(encodeSendTargets(listed)), listed)
      }),
    )
  })
})

describe("host and port", () => {
  it("takes names, IPv4, IPv6 in brackets and bare", () => {
    assert.deepEqual(parseHostPort("10.0.0.1"), { host: "10.0.0.1", port: 3260 })
    assert.deepEqual(parseHostPort("disks:860"), { host: "disks", port: 860 })
    assert.deepEqual(parseHostPort("[::1]:33"), { host: "::1", port: 33 })
    assert.deepEqual(parseHostPort("[fe80::1%eth0]"), { host: "fe80::1%eth0", port: 3260 })
    assert.deepEqual(parseHostPort("fe80::1"), { host: "fe80::1", port: 3260 })
    for (const wrong of ["", ":3260", "a:b", "a:70000", "a:0", "[::1", "a b", "[x]:1", "a:1:2"]) {
      assert.equal(parseHostPort(wrong), undefined, wrong)
    }
    assert.equal(formatHostPort({ host: "::1", port: 3260 }), "[::1]:3260")
    assert.equal(formatHostPort({ host: "a", port: 1 }), "a:1")
  })

  it("reads the tag of a TargetAddress", () => {
    assert.deepEqual(parseTargetAddress("[::1]:5000,12"), { address: "[::1]:5000", portalGroupTag: 12 })
    assert.throws(() => parseTargetAddress("a,x"), SendTargetsError)
  })
})
