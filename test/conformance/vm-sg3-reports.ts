/** What a unit tells of itself, through the decoders of sg3_utils. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { DISKS, Lun, type SgRig } from "./vm-sg3.ts"
import { bytesOf, ExitCode, numberOf } from "./vm-sg3-tools.ts"

/** VPD pages by the acronyms of sg_vpd, and what each must say. */
const vpdPages: Readonly<Record<string, readonly (RegExp | string)[]>> = {
  sv: [/\[sv\][^]*\[sn\][^]*\[di\][^]*\[ei\][^]*\[tpc\][^]*\[bl\][^]*\[bdc\][^]*\[lbpv\]/],
  sn: ["Unit serial number: SG3-THIN"],
  di: [
    /NAA, {2}code set: Binary\n +0x3[0-9a-f]{15}\n/,
    /vendor id: sanlet {2}\n +vendor specific: sg3 thin +SG3-THIN/,
    "Relative target port: 0x1",
    "Target port group: 0x1",
    `${DISKS},t,0x0001`,
    /Target device that contains addressed lu:[^]*iqn.2026-01.org.example:disks$/m,
  ],
  ei: ["HEADSUP=1 ORDSUP=1 SIMPSUP=1", "SPT=0 GRD_CHK=0 APP_CHK=0 REF_CHK=0", " V_SUP=1", "LUICLR=1"],
  tpc: [
    "Maximum range descriptors: 64",
    "Default inactivity timeout: 60 seconds",
    /Populate token\n +Write using token/,
    "block<o> -> block<o> [0xa]",
    "CSCD: Identification Descriptor [0xe4]",
    /change vulnerable \[0x800001\][^]*block device zero \[0xffff0001\]/,
  ],
  bl: [
    "Write same non-zero (WSNZ): 1",
    "Maximum compare and write length: 255 blocks",
    "Maximum transfer length: 131072 blocks",
    "Maximum unmap LBA count: 1048576",
    "Maximum atomic transfer length: 2048 blocks",
    // sg_vpd 1.46 goes on with "[can only write atomic 1 block]", which is not what SBC-4 §6.6.4 says: an ATOMIC BOUNDARY
    // isn't known, so that a command is one atomic write.
    "Maximum atomic boundary size: 0 blocks",
  ],
  bdc: ["Nominal rotation rate: 7200 rpm", "WABEREQ=1", "RBWZ=1", "FUAB=1", "VBULS=1"],
  lbpv: [
    "Unmap command supported (LBPU): 1",
    "(LBPWS): 1",
    "(LBPWS10): 1",
    "(LBPRZ): 1",
    "Provisioning type: 2 (thin provisioned)",
  ],
}

export function reports(rig: SgRig): void {
  const disk = (lun: number) => rig.disk(lun).sg
  const says = (text: string, expected: readonly (RegExp | string)[]) => {
    for (const one of expected) {
      if (typeof one === "string") assert.ok(text.includes(one), `no "${one}" in:\n${text}`)
      else assert.match(text, one)
    }
  }

  test("sg_inq: standard data and version descriptors", async () => {
    says(await rig.sh(`sg_inq -d ${disk(Lun.thin)}`), [
      "version=0x06  [SPC-4]",
      "NormACA=1  HiSUP=1  Resp_data_format=2",
      "TPGS=1  3PC=1  Protect=0",
      "CmdQue=1",
      "Product identification: sg3 thin",
      "Unit serial number: SG3-THIN",
      /SAM-5[^]*iSCSI[^]*SPC-4[^]*SBC-3/,
    ])
    says(await rig.sh(`sg_inq ${disk(Lun.removable)}`), ["RMB=1"])
    says(await rig.sh(`sg_inq ${disk(Lun.type1)}`), ["Protect=1"])
    says(await rig.sh(`sg_inq ${rig.path(1).sg}`), ["TPGS=3"])
  })

  describe("sg_vpd", () => {
    for (const [page, expected] of Object.entries(vpdPages)) {
      test(page, async () => says(await rig.sh(`sg_vpd -p ${page} ${disk(Lun.thin)}`), expected))
    }

    test("all of them at once; one that isn't there", async () => {
      const all = await rig.sh(`sg_vpd -a ${disk(Lun.thin)}`)
      for (const expected of Object.values(vpdPages)) says(all, expected)
      await rig.refused(
        `sg_vpd -f -p 0xb3 ${disk(Lun.thin)}`,
        ExitCode.illegalRequest,
        /Illegal request|invalid/i,
      )
    })

    test("protection information, a read-only unit, the second port", async () => {
      says(await rig.sh(`sg_vpd -l -p ei ${disk(Lun.type1)}`), [
        "SPT=0 [protection type 1 supported]",
        "GRD_CHK=1",
        "REF_CHK=1",
      ])
      says(await rig.sh(`sg_vpd -l -p ei ${disk(Lun.type2)}`), ["SPT=2 [protection type 2 supported]"])
      says(await rig.sh(`sg_vpd -p lbpv ${disk(Lun.readOnly)}`), ["(LBPU): 0", "Provisioning type: 0"])
      says(await rig.sh(`sg_vpd -p bl ${disk(Lun.readOnly)}`), ["Maximum unmap LBA count: 0"])
      says(await rig.sh(`sg_vpd -p di ${rig.path(2).sg}`), [
        "Relative target port: 0x2",
        "Target port group: 0x2",
        "Logical unit group: 0x1",
      ])
    })
  })

  test("sg_readcap, short and long", async () => {
    const expected = [
      [Lun.thin, 131_072, 512, "prot_en=0", "lbpme=1, lbprz=1"],
      [Lun.blocks4k, 16_384, 4096, "prot_en=0", "lbpme=1, lbprz=1"],
      [Lun.type1, 31_767, 512, "prot_en=1, p_type=0", "lbpme=1, lbprz=1"],
      [Lun.type2, 31_767, 512, "prot_en=1, p_type=1", "lbpme=1, lbprz=1"],
      [Lun.readOnly, 16_384, 512, "prot_en=0", "lbpme=0, lbprz=0"],
    ] as const
    for (const [lun, blocks, bytes, ...more] of expected) {
      for (const form of ["", "--16"]) {
        const text = await rig.sh(`sg_readcap ${form} ${disk(lun)}`)
        assert.equal(numberOf("Number of logical blocks", text), blocks)
        assert.equal(numberOf("Logical block length", text), bytes)
        if (form !== "") says(text, more)
      }
    }
  })

  test("sg_luns: ours, the well-known one, both, those of conglomerates", async () => {
    const luns = async (select: string) =>
      [...(await rig.sh(`sg_luns -q ${select} ${disk(Lun.copy)}`)).matchAll(/[0-9a-f]{16}/g)].map(
        ([lun]) => lun,
      )
    const ours = Object.values(Lun).map((lun) => `000${lun}000000000000`)
    assert.deepEqual(await luns(""), ours)
    assert.deepEqual(await luns("--select=1"), ["c101000000000000"])
    assert.deepEqual(await luns("--select=2"), [...ours, "c101000000000000"])
    const thin = disk(Lun.thin)
    assert.equal((await rig.sh(`sg_luns --select=0x11 ${thin}`)).match(/[0-9a-f]{16}/g)?.length, ours.length)
    await rig.refused(`sg_luns --select=0x12 ${thin}`, ExitCode.illegalRequest, "bad field in cdb")
    await rig.refused(`sg_luns --select=0x11 ${disk(Lun.copy)}`, ExitCode.illegalRequest, "bad field in cdb")
  })

  describe("sg_opcodes", () => {
    test("all commands, as many with their timeouts", async () => {
      const rows = (text: string) => text.split("\n").filter((line) => /^ [0-9a-f]{2} /.test(line))
      const thin = rows(await rig.sh(`sg_opcodes ${disk(Lun.thin)}`))
      for (const name of [
        "Test Unit Ready",
        "Sanitize, block erase",
        "Write atomic(16)",
        "Unmap",
        "Orwrite(16)",
        "Receive ROD token information",
        "Persistent reserve out, replace lost reservation",
      ]) {
        assert.ok(
          thin.some((row) => row.endsWith(` ${name}`)),
          name,
        )
      }
      assert.equal(rows(await rig.sh(`sg_opcodes -R ${disk(Lun.thin)}`)).length, thin.length)
      const type2 = rows(await rig.sh(`sg_opcodes ${disk(Lun.type2)}`))
      assert.ok(!type2.some((row) => row.includes("Write atomic")))
      assert.ok(type2.some((row) => row.endsWith(" Write same(32)")))
      assert.ok(!thin.some((row) => row.endsWith("(32)")))
    })

    test("one command, its usage and timeouts; one that isn't there", async () => {
      const said = await rig.sh(`sg_opcodes -R -o 0x88 ${disk(Lun.thin)}`)
      says(said, [
        "Command is supported [conforming to SCSI standard]",
        "Usage data: 88 1a ff ff ff ff ff ff ff ff ff ff ff ff 1f 04",
        "no nominal timeout, no recommended timeout",
      ])
      says(await rig.sh(`sg_opcodes -o 0x48,2 ${disk(Lun.thin)}`), [
        "Usage data: 48 a2 00 00 00 00 00 ff ff 04",
      ])
      says((await rig.run(`sg_opcodes -o 0x3b ${disk(Lun.thin)}`)).stdout, [/not supported/i])
    })

    test("task management functions", async () => {
      says(await rig.sh(`sg_opcodes -t ${disk(Lun.thin)}`), [
        /Abort task\n +Abort task set\n +Clear ACA\n +Clear task set\n +Logical unit reset\n/,
      ])
    })
  })

  test("what isn't offered is refused as an unknown command", async () => {
    const sg = disk(Lun.thin)
    const unknown = (tool: string) =>
      rig.refused(`${tool} ${sg}`, ExitCode.invalidOperationCode, /Invalid opcode|not supported/)
    await unknown("sg_read_buffer -m 3")
    await unknown("sg_write_buffer -m 0")
    await unknown("sg_read_long")
    await unknown("sg_get_config")
    await unknown("sg_read_attr")
    // sg_rbuf begins with the descriptor of READ BUFFER, too
    assert.match((await rig.run(`sg_rbuf -q ${sg}`)).stderr, /Invalid command operation code/)
  })

  test("sg_modes: all pages and subpages, and what of them can be changed", async () => {
    const pages = async (options: string, lun: number = Lun.thin) =>
      (await rig.sh(`sg_modes ${options} ${disk(lun)}`)).split(">> ").slice(1)
    const all = await pages("-a -a")
    const byName = (list: readonly string[], name: string) =>
      bytesOf(list.find((page) => page.startsWith(name)) ?? assert.fail(name))
    assert.deepEqual(
      all.map((page) => page.split(",")[0]),
      [
        "Read-Write error recovery",
        "Caching",
        "Control",
        "Control extension",
        "Informational exceptions control",
        "Logical block provisioning",
      ],
    )
    assert.deepEqual(byName(all, "Caching").slice(0, 3), [0x88, 0x12, 0x04])
    assert.deepEqual(byName(all, "Control"), [0x8a, 0x0a, 0x02, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 1])
    assert.deepEqual(byName(all, "Logical block").slice(0, 4), [0xdc, 0x02, 0x00, 0x14])
    const changeable = await pages("-a -c 1")
    assert.deepEqual(byName(changeable, "Control").slice(2, 6), [0x35, 0x16, 0x38, 0x40])
    assert.deepEqual(byName(changeable, "Caching")[2], 0x04)
    const guarded = await pages("-a -c 1", Lun.type1)
    assert.equal(byName(guarded, "Control")[5], 0xc0) // ATO
    says(await rig.sh(`sg_modes -6 -p ca ${disk(Lun.readOnly)}`), ["WP=1", "DpoFua=1", "MODE SENSE(6)"])
    await rig.refused(`sg_modes -p 0x19 ${disk(Lun.thin)}`, ExitCode.illegalRequest, /field in cdb|Illegal/i)
  })
}
