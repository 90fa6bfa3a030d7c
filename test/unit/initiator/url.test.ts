import assert from "node:assert/strict"
import { inspect } from "node:util"
import { describe, it } from "node:test"
import fc from "fast-check"
import { ChapAlgorithm } from "../../../src/iscsi/login/index.ts"
import {
  formatIscsiUrl,
  IscsiUrlError,
  parseDiskUrl,
  parseIscsiUrl,
  redactUrl,
} from "../../../src/initiator/index.ts"

const IQN = "iqn.2026-01.org.example:disk0"

describe("iSCSI URLs", () => {
  it("takes libiscsi's forms", () => {
    assert.deepEqual(parseIscsiUrl(`iscsi://10.0.0.1/${IQN}/3`), {
      host: "10.0.0.1",
      port: 3260,
      target: IQN,
      lun: 3,
    })
    assert.deepEqual(parseIscsiUrl(`iscsi://[2001:db8::1]:860/${IQN}/0`), {
      host: "2001:db8::1",
      port: 860,
      target: IQN,
      lun: 0,
    })
    assert.deepEqual(parseIscsiUrl("iscsi://disks"), { host: "disks", port: 3260 })
    assert.deepEqual(parseIscsiUrl("iscsi://disks:1/"), { host: "disks", port: 1 })
    assert.deepEqual(parseIscsiUrl(`iscsi://disks/${IQN}/`), { host: "disks", port: 3260, target: IQN })
    assert.equal(
      parseIscsiUrl("iscsi://h/iqn.2026-01.org.example%3AA%62/0").target,
      "iqn.2026-01.org.example:ab",
    )
  })

  it("finds user and secret before the @, whatever parts them", () => {
    for (const text of ["user%pass", "user:pass"]) {
      const { chap, host } = parseIscsiUrl(`iscsi://${text}@10.0.0.1:3260/${IQN}/0`)
      assert.equal(host, "10.0.0.1")
      assert.equal(chap?.user.name, "user")
    }
    // libiscsi cuts at the first @. A secret with an @ in it is understood as well, and so is one with a slash.
    const at = parseIscsiUrl(`iscsi://user%p@ss:%word@host/${IQN}/0`)
    assert.equal(at.chap?.user.name, "user")
    assert.equal(at.host, "host")
    assert.equal(parseIscsiUrl(`iscsi://u%a/b@host/${IQN}/0`).host, "host")
  })

  it("takes what is missing from the environment", () => {
    const environment = {
      LIBISCSI_CHAP_USERNAME: "eve",
      LIBISCSI_CHAP_PASSWORD: "secret-of-eve",
      LIBISCSI_CHAP_TARGET_USERNAME: "disks",
      LIBISCSI_CHAP_TARGET_PASSWORD: "secret-of-disks",
    }
    const { chap } = parseIscsiUrl(`iscsi://host/${IQN}/0`, environment)
    assert.equal(chap?.user.name, "eve")
    assert.equal(chap?.target?.name, "disks")
    assert.equal(parseIscsiUrl(`iscsi://bob@host/${IQN}/0`, environment).chap?.user.name, "bob")
    // Without a secret there is no CHAP, and without CHAP none of the target either.
    assert.equal(parseIscsiUrl(`iscsi://bob@host/${IQN}/0`).chap, undefined)
  })

  it("takes libiscsi's options", () => {
    const url = `iscsi://u%p@host/${IQN}/0?header_digest=crc32c&data_digest=none&auth=sha-256&target_user=t&target_password=q&force_usn=42`
    const parsed = parseIscsiUrl(url)
    assert.equal(parsed.headerDigest, "CRC32C")
    assert.equal(parsed.dataDigest, "None")
    assert.deepEqual(parsed.chap?.algorithms, [ChapAlgorithm.SHA256])
    assert.equal(parsed.chap?.target?.name, "t")
    assert.equal(parsed.unitSerialNumber, "42")
  })

  it("refuses everything else in one readable line", () => {
    for (const wrong of [
      "",
      "disk",
      "http://host/x/0",
      "iscsi://",
      `iscsi:///${IQN}/0`,
      `iscsi://host:0/${IQN}/0`,
      `iscsi://host:66000/${IQN}/0`,
      "iscsi://host/disk/0",
      `iscsi://host/${IQN}/x`,
      `iscsi://host/${IQN}/-1`,
      `iscsi://host/${IQN}/16384`,
      `iscsi://host/${IQN}/0/1`,
      "iscsi://host/iqn.2026-01.org.example:%zz/0",
      `iscsi://host/${IQN}/0?header_digest=md5`,
      `iscsi://host/${IQN}/0?haeder_digest=crc32c`,
      `iscsi://host/${IQN}/0?auth`,
    ]) {
      assert.throws(
        () => parseIscsiUrl(wrong),
        (error) => {
          assert.ok(error instanceof IscsiUrlError, String(error))
          assert.equal(error.code, "ERR_ISCSI_URL")
          assert.doesNotMatch(error.message, /\n/)
          return true
        },
      )
    }
    assert.throws(() => parseDiskUrl(`iscsi://host/${IQN}`), /names no target and LUN/)
  })

  it("never shows a secret", () => {
    const url = `iscsi://eve%hunter2-hunter2@host/${IQN}/x?target_user=t&target_password=hunter3-hunter3`
    assert.throws(
      () => parseIscsiUrl(url),
      (error) => {
        assert.doesNotMatch(`${error} ${inspect(error)}`, /hunter/)
        return true
      },
    )
    const parsed = parseIscsiUrl(url.replace("/x?", "/0?"))
    assert.doesNotMatch(
      `${inspect(parsed, { depth: 9 })} ${JSON.stringify(parsed)} ${formatIscsiUrl(parsed)}`,
      /hunter/,
    )
    assert.equal(formatIscsiUrl(parsed), `iscsi://eve@host:3260/${IQN}/0`)
    assert.equal(redactUrl("iscsi://eve%hunter2@host"), "iscsi://eve@host")
    assert.equal(redactUrl("iscsi://host?target_password=hunter2"), "iscsi://host?target_password=...")
  })

  it("is the same after a round trip", () => {
    const url = fc.record(
      {
        host: fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant("disks.example.org")),
        port: fc.integer({ min: 1, max: 65535 }),
        target: fc.stringMatching(/^[a-z0-9._:-]{1,30}$/).map((end) => `iqn.2026-01.org.example:${end}`),
        lun: fc.nat(16383),
        headerDigest: fc.constantFrom("None" as const, "CRC32C" as const),
      },
      { noNullPrototype: true },
    )
    fc.assert(fc.property(url, (parts) => assert.deepEqual(parseIscsiUrl(formatIscsiUrl(parts)), parts)))
  })

  it("fails on any text with its own error only", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseIscsiUrl(`iscsi://${text}`)
        } catch (error) {
          assert.ok(error instanceof IscsiUrlError, String(error))
        }
      }),
    )
  })
})

describe("URLs that demand iSER", () => {
  it("are iser://, and libiscsi's option", () => {
    assert.equal(parseIscsiUrl(`iser://10.0.0.1/${IQN}/0`).transport, "iser")
    assert.equal(parseIscsiUrl(`iscsi://10.0.0.1/${IQN}/0?iser`).transport, "iser")
    assert.equal(parseIscsiUrl(`iscsi://10.0.0.1/${IQN}/0?iser&auth=md5`).transport, "iser")
    assert.equal(parseIscsiUrl("iser://disks:1/").transport, "iser")
    assert.equal("transport" in parseIscsiUrl(`iscsi://10.0.0.1/${IQN}/0`), false)
  })

  it("are otherwise like the others", () => {
    const plain = parseIscsiUrl(`iscsi://u%p@[::1]:860/${IQN}/7?header_digest=none`)
    const { transport, ...rest } = parseIscsiUrl(`iser://u%p@[::1]:860/${IQN}/7?header_digest=none`)
    assert.deepEqual({ ...rest, chap: rest.chap?.user.name }, { ...plain, chap: plain.chap?.user.name })
    assert.equal(transport, "iser")
    assert.equal(
      formatIscsiUrl(parseIscsiUrl(`iscsi://u%p@host/${IQN}/7?iser`)),
      `iser://u@host:3260/${IQN}/7`,
    )
    assert.equal(redactUrl(`iser://u%p@host/${IQN}/7`), `iser://u@host/${IQN}/7`)
  })

  it("are refused when they say more than that", () => {
    assert.throws(() => parseIscsiUrl("iscsi://host?iser=yes"), /the option iser takes no value/)
    assert.throws(() => parseIscsiUrl("rdma://host"), /doesn't begin with iscsi:\/\/ or iser:\/\//)
  })
})
