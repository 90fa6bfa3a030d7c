import assert from "node:assert/strict"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test } from "node:test"
import { inspect } from "node:util"
import { CONFIGURATION_BYTES_MAX } from "../../../../src/base/limits.ts"
import { SanletError } from "../../../../src/base/errors.ts"
import {
  ConfigurationError,
  loadConfiguration,
  parseConfiguration,
} from "../../../../src/control/config/load.ts"
import type { Configuration } from "../../../../src/control/config/schema.ts"

const secrets: Record<string, string> = { "/etc/san/alice.secret": "a secret of alice\n" }
const context = {
  directory: "/etc/san",
  env: { BOB_SECRET: "a secret of bob's own" },
  readFile: (path: string) => {
    const text = secrets[path]
    if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" })
    return text
  },
}

const parse = (text: string): Configuration => parseConfiguration(text, "san.yaml", context)

/** The lines of the error a wrong text gives. */
function errorsOf(text: string): string[] {
  try {
    parse(text)
  } catch (error) {
    assert.ok(error instanceof ConfigurationError)
    assert.equal(error.code, "ERR_CONFIGURATION")
    return error.message.split("\n")
  }
  return assert.fail("no error")
}

/** A configuration with one LUN; `more` stands in the target, `lun` in the LUN. */
const withTarget = (more: string, lun = ""): string => `targets:
  - name: iqn.2026-01.org.example:disks
    ${more}
    luns:
      - lun: 0
        device: { type: memory, size: 1M }
        ${lun}
`

describe("a correct configuration", () => {
  test("the shortest one: defaults are filled in", () => {
    const { portals, targets, log } = parse(withTarget(""))
    assert.deepEqual(portals, [{ listen: { host: "127.0.0.1", port: 3260 }, group: 1 }])
    assert.deepEqual(log, {})
    assert.deepEqual(targets, [
      {
        name: "iqn.2026-01.org.example:disks",
        luns: [{ lun: 0, device: { type: "memory", sizeBytes: 2 ** 20 } }],
      },
    ])
  })

  test("addresses of portals", () => {
    const { portals } = parse(`portals:
  - listen: "[::]:3261"
  - listen: 192.0.2.1
    group: 2
  - listen: "2001:db8::1"
  - listen: ":3262"
${withTarget("")}`)
    assert.deepEqual(portals, [
      { listen: { host: "::", port: 3261 }, group: 1 },
      { listen: { host: "192.0.2.1", port: 3260 }, group: 2 },
      { listen: { host: "2001:db8::1", port: 3260 }, group: 1 },
      { listen: { host: "::", port: 3262 }, group: 1 },
    ])
  })

  test("devices on devices; paths are relative to the file", () => {
    const { targets } = parse(`targets:
  - name: iqn.2026-01.org.example:disks
    luns:
      - lun: 3
        device:
          type: fault
          rules:
            - { operations: [write], range: { offset: 1M, length: 4K }, skip: 2, effect: { kind: torn, bytes: 512 } }
          on:
            type: delay
            delaysMs: { read: 1, flush: { minMs: 1, maxMs: 20 } }
            on: { type: readonly, on: { type: file, path: images/a.img, size: 10G, cache: direct } }
      - lun: 4
        device: { type: null, size: 1T }
      - lun: 5
        device: { type: encrypted, keyFile: keys/a.key, on: { type: memory, size: 1G } }
`)
    assert.deepEqual(targets[0]?.luns[0]?.device, {
      type: "fault",
      rules: [
        {
          operations: ["write"],
          range: { offsetBytes: 2 ** 20, lengthBytes: 4096 },
          skip: 2,
          effect: { kind: "torn", bytes: 512 },
        },
      ],
      on: {
        type: "delay",
        delaysMs: { read: 1, flush: { minMs: 1, maxMs: 20 } },
        on: {
          type: "readonly",
          on: { type: "file", path: "/etc/san/images/a.img", sizeBytes: 10 * 2 ** 30, cache: "direct" },
        },
      },
    })
    assert.deepEqual(targets[0]?.luns[1]?.device, { type: "null", sizeBytes: 2 ** 40 })
    assert.deepEqual(targets[0]?.luns[2]?.device, {
      type: "encrypted",
      keyFile: "/etc/san/keys/a.key",
      on: { type: "memory", sizeBytes: 2 ** 30 },
    })
  })

  test("the key set ESXi administrators configure", () => {
    const { targets } = parse(
      withTarget(`login:
      InitialR2T: No
      ImmediateData: Yes
      MaxConnections: 1
      MaxRecvDataSegmentLength: 1048576
      MaxBurstLength: 1048576
      FirstBurstLength: 64KiB
      DefaultTime2Wait: 0
      DefaultTime2Retain: 0
      MaxOutstandingR2T: 32
      DataPDUInOrder: No
      DataSequenceInOrder: false
      ErrorRecoveryLevel: 0
      HeaderDigest: [None]
      DataDigest: [CRC32C, None]`),
    )
    assert.deepEqual(targets[0]?.login, {
      initialR2T: false,
      immediateData: true,
      maxConnections: 1,
      maxRecvDataSegmentLength: 1048576,
      maxBurstLength: 1048576,
      firstBurstLength: 65536,
      defaultTime2Wait: 0,
      defaultTime2Retain: 0,
      maxOutstandingR2T: 32,
      dataPduInOrder: false,
      dataSequenceInOrder: false,
      errorRecoveryLevel: 0,
      headerDigest: ["None"],
      dataDigest: ["CRC32C", "None"],
    })
  })

  test("secrets come from the file, other files and the environment, and are never shown", () => {
    const configuration = parse(
      withTarget(`chap:
      users:
        - { name: alice, secretFile: alice.secret }
        - { name: bob, secretEnv: BOB_SECRET }
        - { name: carol, secret: "written right here" }
      mutual: { name: target, secret: "the secret of the target" }`),
    )
    const users = configuration.targets[0]?.chap?.users ?? []
    assert.deepEqual(
      users.map(({ name }) => name),
      ["alice", "bob", "carol"],
    )
    assert.equal(configuration.targets[0]?.chap?.outgoing?.name, "target")
    const shown = inspect(configuration, { depth: 9 }) + JSON.stringify(configuration)
    for (const secret of ["a secret of alice", "a secret of bob", "written right here", "the secret of"]) {
      assert.ok(!shown.includes(secret), secret)
    }
  })

  test("anchors and aliases", () => {
    const { targets } = parse(`targets:
  - name: iqn.2026-01.org.example:a
    access: &ours { initiators: ["iqn.2026-01.org.example:*"], allow: [192.0.2.0/24, "2001:db8::/32"] }
    luns: [{ lun: 0, device: { type: memory, size: 1M } }]
  - name: IQN.2026-01.org.example:b
    access: *ours
    luns: [{ lun: 0, device: { type: memory, size: 1M } }]
`)
    assert.deepEqual(targets[0]?.access, targets[1]?.access)
    assert.equal(targets[1]?.name, "iqn.2026-01.org.example:b")
  })
})

describe("a wrong configuration", () => {
  test("misspelled keys", () => {
    assert.deepEqual(errorsOf(`portals:\n  - lisen: 127.0.0.1\n${withTarget("")}`), [
      "san.yaml:2:5: portals[0].listen: missing; expected an address such as 127.0.0.1:3260, 0.0.0.0:3260 or [::]:3260",
      'san.yaml:2:5: portals[0].lisen: unknown key "lisen"; did you mean "listen"?',
    ])
    assert.deepEqual(errorsOf(withTarget("colour: red")), [
      'san.yaml:3:5: targets[0].colour: unknown key "colour"; here may stand: name, alias, portalGroups, alua, chap, access, login, luns',
    ])
  })

  test("wrong values say what was expected and what is there", () => {
    const cases: [string, string][] = [
      ["alias: [a]", "3:12: targets[0].alias: expected text, found a list"],
      ["alias:", "3:11: targets[0].alias: expected text, found nothing"],
      ["portalGroups: [0]", "3:20: targets[0].portalGroups[0]: expected 1 or more, found 0"],
      ["portalGroups: []", "3:19: targets[0].portalGroups: expected at least 1 entry, found an empty list"],
      ["portalGroups: [7]", "3:20: targets[0].portalGroups[0]: no portal is in group 7; there are 1"],
      [
        "login: { InitialR2T: maybe }",
        '3:26: targets[0].login.InitialR2T: expected Yes or No, found "maybe"',
      ],
      [
        "login: { MaxBurstLength: 32M }",
        "3:30: targets[0].login.MaxBurstLength: expected a size such as 512MiB, 10G or a number of bytes (512 to 16777215 bytes), found 32M",
      ],
      [
        "login: { FirstBurstLength: 2M, MaxBurstLength: 1M }",
        "3:32: targets[0].login.FirstBurstLength: expected at most MaxBurstLength (1048576), found 2097152 (RFC 7143 §13.14)",
      ],
      ["login: { ErrorRecoveryLevel: 2 }", "3:34: targets[0].login.ErrorRecoveryLevel: expected 0, found 2"],
      [
        "access: { deny: [10.0.0.0/33] }",
        '3:22: targets[0].access.deny[0]: expected an address or a network such as 192.0.2.0/24 or 2001:db8::/32, found "10.0.0.0/33"',
      ],
      [
        "chap: { users: [{ name: eve, secretEnv: NOT_SET }] }",
        "3:45: targets[0].chap.users[0].secretEnv: the environment variable NOT_SET is not set",
      ],
      [
        "chap: { users: [{ name: eve, secretFile: eve.secret }] }",
        "3:46: targets[0].chap.users[0].secretFile: cannot read /etc/san/eve.secret: ENOENT",
      ],
      [
        "chap: { users: [{ name: eve }] }",
        "3:21: targets[0].chap.users[0]: expected exactly one of secret, secretFile, secretEnv, found none",
      ],
      [
        "chap: { users: [{ name: eve, secret: 123456 }] }",
        "3:42: targets[0].chap.users[0].secret: expected text, found a number",
      ],
    ]
    for (const [more, expected] of cases)
      assert.deepEqual(errorsOf(withTarget(more)), [`san.yaml:${expected}`], more)
  })

  test("a secret that serves both directions", () => {
    const [line, ...others] = errorsOf(
      withTarget(
        "chap: { users: [{ name: a, secret: 0123456789ab }], mutual: { name: t, secret: 0123456789ab } }",
      ),
    )
    assert.match(line ?? "", /^san\.yaml:3:11: targets\[0\]\.chap: .*same in both directions/)
    assert.deepEqual(others, [])
  })

  test("wrong devices, with a suggestion for a wrong type", () => {
    const [first] = errorsOf(withTarget("").replace("type: memory", "type: memroy"))
    assert.equal(
      first,
      'san.yaml:6:25: targets[0].luns[0].device.type: expected file, block, memory, null, readonly, delay, encrypted or fault, found "memroy"; did you mean "memory"?',
    )
    assert.deepEqual(errorsOf(withTarget("").replace("1M", "10 apples")), [
      'san.yaml:6:39: targets[0].luns[0].device.size: expected a size such as 512MiB, 10G or a number of bytes (at least 512 bytes), found "10 apples"',
    ])
    assert.deepEqual(errorsOf(withTarget("", "blockSize: 1024")), [
      "san.yaml:7:20: targets[0].luns[0].blockSize: expected 512 or 4096, found 1024",
    ])
  })

  test("physical blocks hold whole logical ones", () => {
    const both = (physical: number) =>
      withTarget("", `blockSize: 4096\n        physicalBlockSize: ${physical}`)
    const { targets } = parse(both(4096))
    assert.equal(targets[0]?.luns[0]?.physicalBlockSize, 4096)
    assert.match(
      errorsOf(both(512))[0]!,
      /physicalBlockSize: it holds whole logical blocks of 4096 bytes: expected as many, or more$/,
    )
    assert.deepEqual(errorsOf(withTarget("", "physicalBlockSize: 520")), [
      "san.yaml:7:28: targets[0].luns[0].physicalBlockSize: expected 512, 1024, 2048, 4096, 8192, 16384, 32768 or 65536, found 520",
    ])
  })

  test("protection information: a type there is, and no device past the system's cache", () => {
    const { targets } = parse(withTarget("", "protection: { type: 3 }"))
    assert.deepEqual(targets[0]?.luns[0]?.protection, { type: 3 })
    assert.deepEqual(errorsOf(withTarget("", "protection: { type: 4 }")), [
      "san.yaml:7:29: targets[0].luns[0].protection.type: expected 1, 2 or 3, found 4",
    ])
    const device = "{ type: readonly, on: { type: file, path: a.img, cache: direct } }"
    const direct = withTarget("", "protection: { type: 1 }").replace("{ type: memory, size: 1M }", device)
    assert.deepEqual(errorsOf(direct), [
      "san.yaml:7:21: targets[0].luns[0].protection: protection information can't be kept with cache: direct; leave one of them out",
    ])
  })

  test("units without a medium that need one, and CD-ROM drives that aren't", () => {
    const lun = (keys: string) => `targets: [{ name: "iqn.2026-01.org.example:a", luns: [{ ${keys} }] }]`
    for (const [keys, ...expected] of [
      ["lun: 0", "luns[0].device: missing; only a removable disk and a cdrom can do without"],
      [
        "lun: 0, removable: false",
        "luns[0].device: missing; only a removable disk and a cdrom can do without",
      ],
      [
        "lun: 0, type: cdrom, blockSize: 4096, removable: false",
        "luns[0].blockSize: a cdrom has blocks of 2048 bytes: expected nothing",
        "luns[0].removable: a disc can be taken out of a cdrom: expected true, or nothing",
      ],
      [
        "lun: 0, type: cdrom, physicalBlockSize: 4096, thin: false, writeSameToEnd: true",
        "luns[0].physicalBlockSize: only a disk has a choice: expected nothing",
        "luns[0].thin: only a disk has a choice: expected nothing",
        "luns[0].writeSameToEnd: only a disk has a choice: expected nothing",
      ],
      ["lun: 0, type: cdrm", 'luns[0].type: expected disk or cdrom, found "cdrm"; did you mean "cdrom"?'],
      [
        "lun: 0, removable: true, protection: { type: 1 }",
        "luns[0].protection: only a disk whose medium stays has protection information: expected nothing",
      ],
      ["lun: 0, removable: 1", "luns[0].removable: expected true or false, found 1"],
    ] as const) {
      assert.deepEqual(
        errorsOf(lun(keys)).map((line) => line.replace(/^san\.yaml:\d+:\d+: targets\[0\]\./, "")),
        expected,
      )
    }
    const { targets } = parse(lun("lun: 0, removable: true }, { lun: 1, type: cdrom, removable: true"))
    assert.deepEqual(targets[0]?.luns, [
      { lun: 0, removable: true },
      { lun: 1, type: "cdrom", removable: true },
    ])
  })

  test("what is used twice", () => {
    const twice = `targets:
  - name: iqn.2026-01.org.example:a
    luns:
      - { lun: 0, serial: one, device: { type: file, path: a.img } }
      - { lun: 0, serial: one, device: { type: readonly, on: { type: file, path: ./a.img } } }
  - name: IQN.2026-01.org.example:A
    luns: [{ lun: 0, device: { type: memory, size: 1M } }]
`
    assert.deepEqual(errorsOf(twice), [
      "san.yaml:5:16: targets[0].luns[1].lun: LUN 0 is used already, above",
      "san.yaml:5:27: targets[0].luns[1].serial: the serial one is used already, above",
      "san.yaml:5:40: targets[0].luns[1].device: the storage /etc/san/a.img is used already, above",
      "san.yaml:6:11: targets[1].name: the target name iqn.2026-01.org.example:a is used already, above",
    ])
  })

  test("several errors at once, in the order of the file", () => {
    const lines = errorsOf(`logg: 1\ntargets: 7\nportals: []\n`)
    assert.deepEqual(lines, [
      'san.yaml:1:1: logg: unknown key "logg"; did you mean "log"?',
      "san.yaml:2:10: targets: expected a list, found 7",
      "san.yaml:3:10: portals: expected at least 1 entry, found an empty list",
    ])
  })

  test("a hundred errors are told of as twenty", () => {
    const lines = errorsOf(`targets: [${"1, ".repeat(100)}]`)
    assert.equal(lines.length, 21)
    assert.equal(lines.at(-1), "san.yaml: and 80 more")
  })
})

describe("what is no configuration", () => {
  test("YAML errors have their place", () => {
    assert.deepEqual(errorsOf('targets:\n  - "open\n'), ['san.yaml:3:1: Missing closing "quote'])
    assert.deepEqual(errorsOf("log: {}\nlog: {}\n"), ["san.yaml:2:1: Map keys must be unique"])
  })

  test("empty, too long, no section", () => {
    assert.deepEqual(errorsOf("# nothing\n"), ['san.yaml:1:1: empty; expected at least "targets"'])
    assert.deepEqual(errorsOf("just text"), [
      'san.yaml:1:1: expected a section (keys with values), found "just text"',
    ])
    assert.match(errorsOf(" ".repeat(CONFIGURATION_BYTES_MAX + 1))[0] ?? "", /longer than/)
  })

  test("aliases that multiply are refused at once", () => {
    const levels = Array.from({ length: 12 }, (_, i) => {
      const before = i === 0 ? "x" : `*a${i - 1}`
      return `a${i}: &a${i} [${Array(10).fill(before).join(", ")}]`
    })
    assert.match(errorsOf(levels.join("\n"))[0] ?? "", /^san\.yaml:1:1: Excessive alias count/)
  })

  test("nesting beyond the stack", () => {
    for (const text of ["[".repeat(200_000), "- ".repeat(100_000)]) {
      assert.match(errorsOf(text)[0] ?? "", /^san\.yaml:\d+:\d+: nested too deeply/)
    }
  })

  test("a file that can't be read", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "sanlet-config-"))
    t.after(() => rmSync(folder, { recursive: true }))
    const path = join(folder, "san.yaml")
    assert.throws(
      () => loadConfiguration(path, {}),
      (error) => {
        assert.ok(error instanceof SanletError)
        assert.equal(error.code, "ERR_CONFIGURATION_FILE")
        assert.equal(error.message, `cannot read ${path}: there is no such file`)
        return true
      },
    )
    writeFileSync(path, withTarget("").replace("type: memory, size: 1M", "type: file, path: here.img"))
    const { targets } = loadConfiguration(path, {})
    assert.deepEqual(targets[0]?.luns[0]?.device, {
      type: "file",
      path: join(folder, "here.img"),
      cache: "write-back",
    })
  })
})
