/** Commands that change what a unit is like: mode pages, logs, self-tests, the tray, sanitize and format; and a restart. */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { before, describe, test } from "node:test"
import { Lun, type SgRig } from "./vm-sg3.ts"
import { bytesOf, ExitCode, numberOf } from "./vm-sg3-tools.ts"

const MiB = 1024 * 1024

export function state(rig: SgRig): void {
  let sg = ""
  let other = ""
  before(async () => {
    sg = rig.disk(Lun.thin).sg
    other = rig.disk(Lun.thin, "other").sg
    await rig.calm(sg, other)
  })

  describe("sg_wr_mode", () => {
    const caching = async (control: number) =>
      bytesOf((await rig.sh(`sg_modes -p 8 -c ${control} ${sg}`)).split(">> ")[1] ?? "")[2]
    const CURRENT = 0
    const SAVED = 3

    test("a page is changed for now, then saved, and the others are told", async () => {
      await rig.sh(`sg_wr_mode -p 8 -c 88,12,0 -m 0,0,4 ${sg}`)
      assert.deepEqual([await caching(CURRENT), await caching(SAVED)], [0, 4])
      assert.equal(await rig.attention(other), "Mode parameters changed")
      await rig.sh(`sg_wr_mode -6 -s -p 8 -c 88,12,0 -m 0,0,4 ${sg}`)
      assert.equal(await caching(SAVED), 0)
      await rig.calm(other)
    })

    test("software write protection, and descriptor sense", async () => {
      await rig.sh(`sg_wr_mode -p 0x0a -c 8a,0a,4,0,8 -m 0,0,4,0,8 ${sg}`)
      const said = await rig.refused(
        `head -c 512 /dev/zero | sg_raw -s 512 ${sg} 2a 0 0 0 0 0 0 0 1 0`,
        ExitCode.dataProtect,
        /Logical unit software write protected/,
      )
      assert.match(said, /Descriptor format/)
      await rig.sh(`sg_wr_mode -p 0x0a -c 8a,0a,0,0,0 -m 0,0,4,0,8 ${sg}`)
    })

    test("refused: what can't be changed, and RTD", async () => {
      await rig.refused(
        `sg_wr_mode -p 8 -c 88,12,1 -m 0,0,1 ${sg}`,
        ExitCode.illegalRequest,
        "Illegal request",
      )
      await rig.refused(`sg_wr_mode -R ${sg}`, ExitCode.illegalRequest, "Illegal request")
      await rig.calm(other)
    })
  })

  describe("sg_logs", () => {
    test("every page that is listed", async () => {
      const said = await rig.sh(`sg_logs -a ${sg}`)
      const listed = [...said.matchAll(/^ {4}0x([0-9a-f]{2}) /gm)].map(([, page]) => page)
      assert.deepEqual(listed, ["00", "02", "03", "05", "06", "0c", "0d", "0e", "10", "19", "2f"])
      for (const page of listed)
        assert.match(said, new RegExp(`\\[0x${Number.parseInt(page!, 16).toString(16)}\\]:?\\n`))
      assert.match(said, /Threshold temperature = <not available>/)
      assert.doesNotMatch(said, /unable to decode|Unable|truncated|bad/i)
    })

    test("counters count, and a reset makes them 0", async () => {
      const memory = rig.disk(Lun.memory).sg
      await rig.calm(memory)
      const bytes = async (page: number) =>
        numberOf("Total bytes processed", await rig.sh(`sg_logs -p ${page} ${memory}`))
      const [written, read, verified] = [await bytes(2), await bytes(3), await bytes(5)]
      await rig.write(memory, 5, randomBytes(7 * 512))
      await rig.read(memory, 5, 3)
      await rig.sh(`sg_verify -l 5 -c 2 ${memory}`)
      assert.deepEqual(
        [await bytes(2), await bytes(3), await bytes(5)],
        [written + 3584, read + 1536, verified + 1024],
      )
      const statistics = await rig.sh(`sg_logs -p gsp ${memory}`)
      assert.equal(numberOf("number of logical blocks received", statistics), (written + 3584) / 512)
      await rig.sh(`sg_logs -R ${memory}`)
      assert.deepEqual([await bytes(2), await bytes(3), await bytes(5)], [0, 0, 0])
      await rig.calm(rig.disk(Lun.memory, "other").sg)
    })

    test("used mapping resources, in units of the threshold", async () => {
      const copy = rig.disk(Lun.slow).sg
      const used = async () =>
        numberOf("Used LBA mapping threshold resource count", await rig.sh(`sg_logs -p lbp ${copy}`))
      await rig.sh(`sg_unmap -f -l 0 -n 16384 ${copy}`)
      assert.equal(await used(), 0)
      await rig.write(copy, 0, randomBytes(MiB))
      const exponent = numberOf("Threshold exponent", await rig.sh(`sg_vpd -p lbpv ${copy}`))
      assert.equal(await used(), Math.ceil(2048 / 2 ** exponent))
    })
  })

  test("sg_senddiag: self-tests and their results", async () => {
    assert.match(await rig.sh(`sg_senddiag -t ${sg}`), /GOOD status/)
    await rig.sh(
      `sg_senddiag -s 5 ${sg} && sg_senddiag -s 1 ${sg}; sleep 0.5; sg_senddiag -s 2 ${sg}; sg_senddiag -s 4 ${sg}`,
    )
    const results = await rig.sh(`sg_logs -p str ${sg}`)
    const tests = [...results.matchAll(/self-test code: .*\[(\d)\]\n +self-test result: .*\[(\d)\]/g)]
    // the newest first: extended and aborted, short, short in the foreground, the default one
    assert.deepEqual(
      tests.slice(0, 4).map(([, code, result]) => [code, result]),
      [
        ["2", "1"],
        ["1", "0"],
        ["5", "0"],
        ["0", "0"],
      ],
    )
    await rig.refused(`sg_senddiag -s 4 ${sg}`, ExitCode.illegalRequest, "Illegal request") // nothing to abort
    await rig.refused(`sg_senddiag -l ${sg}`, ExitCode.illegalRequest, "Illegal request") // no diagnostic pages
  })

  test("sg_ident: set, told to the others, and cleared", async () => {
    await rig.sh(`printf shelf-4 | sg_ident -S ${sg}`)
    assert.match(await rig.sh(`sg_ident -A ${sg}`), /shelf-4/)
    assert.equal(await rig.attention(other), "Device identifier changed")
    await rig.sh(`sg_ident -C ${sg}`)
    assert.doesNotMatch(await rig.sh(`sg_ident ${sg}`), /shelf/)
    await rig.calm(other)
  })

  test("sg_turs, sg_requests, in both formats", async () => {
    await rig.sh(`sg_turs -n 50 ${sg}`)
    assert.match(await rig.polled(sg), /Fixed format, current; Sense key: No Sense/)
    assert.match(await rig.polled(`-d ${sg}`), /Descriptor format, current; Sense key: No Sense/)
  })

  test("sg_start: a stopped unit is not ready for anybody, and REQUEST SENSE says so", async () => {
    const cycles = async () =>
      numberOf("Accumulated start-stop cycles", await rig.sh(`sg_logs -p sscc ${sg}`))
    const before = await cycles()
    await rig.sh(`sg_start --stop ${sg}`)
    const stopped = /Logical unit not ready, initializing command required/
    for (const one of [sg, other]) await rig.refused(`sg_turs -v ${one}`, ExitCode.notReady, stopped)
    assert.match(await rig.polled(sg), stopped)
    await rig.refused(`sg_readcap ${sg}`, ExitCode.notReady, /not ready/)
    await rig.sh(`sg_start --start ${sg} && sg_turs ${sg} && sg_turs ${other}`)
    assert.equal(await cycles(), before + 1)
    await rig.sh(`sg_start --immed --pc=2 ${sg} && sg_start --pc=1 ${sg} && sg_turs ${sg}`)
  })

  test("sg_prevent and sg_start: the tray", async () => {
    const tray = rig.disk(Lun.removable).sg
    await rig.calm(tray)
    await rig.sh(`sg_prevent --prevent=1 ${tray}`)
    await rig.refused(`sg_start --eject -v ${tray}`, ExitCode.illegalRequest, /Medium removal prevented/)
    await rig.sh(`sg_prevent --allow ${tray} && sg_start --eject ${tray}`)
    await rig.refused(`sg_turs -v ${tray}`, ExitCode.notReady, /Medium not present/)
    await rig.sh(`sg_start --load ${tray}; sg_turs -n 3 ${tray} > /dev/null 2>&1; sg_turs ${tray}`)
  })

  describe("sg_sanitize", () => {
    const all = (image: string, bytes: number) => rig.stored(image, 0, bytes)

    test("overwrite in the background: progress, and nothing else meanwhile", async () => {
      const slow = rig.disk(Lun.slow).sg
      await rig.calm(slow)
      await rig.write(slow, 0, randomBytes(MiB))
      await rig.sh(`sg_sanitize --quick --early --overwrite --zero --count=4 ${slow}`)
      const busy = await rig.refused(`sg_turs -v ${slow}`, ExitCode.notReady, /sanitize in progress/)
      assert.match(busy, /Progress indication: \d+\.\d+%/)
      assert.match(await rig.polled(slow), /sanitize in progress\n +Progress indication/i)
      await rig.refused(`sg_dd if=${slow} of=/dev/null bs=512 count=1`, ExitCode.notReady, /not ready/)
      for (let tries = 0; (await rig.run(`sg_turs ${slow}`)).code !== 0; tries++) {
        assert.ok(tries < 100, "it takes too long")
        await sleep(200)
      }
      assert.ok(all("slow", 8 * MiB).every((byte) => byte === 0))
    })

    test("a pattern, and its inverse in between", async () => {
      const removable = rig.disk(Lun.memory).sg
      await rig.calm(removable)
      await rig.sh(
        `printf 0123456789abcdef > pattern; sg_sanitize --quick --wait --overwrite --pattern=pattern --count=3 --invert ${removable}`,
      )
      const block = await rig.read(removable, 32_767, 1)
      const expected = Buffer.from("0123456789abcdef".repeat(32))
      assert.ok(block.equals(expected), block.toString("hex"))
    })

    test("block erase: everything is unmapped; cryptographic erase isn't known", async () => {
      const slow = rig.disk(Lun.slow).sg
      await rig.write(slow, 0, randomBytes(MiB))
      await rig.sh(`sg_sanitize --quick --wait --block ${slow}`)
      assert.ok(all("slow", 8 * MiB).every((byte) => byte === 0))
      assert.match(await rig.sh(`sg_get_lba_status -b ${slow}`), /0x4000 {2}1/)
      await rig.refused(`sg_sanitize --quick --crypto ${slow}`, ExitCode.illegalRequest, "Illegal request")
      await rig.sh(`sg_sanitize --quick --fail --wait ${slow}`) // nothing has failed: nothing to leave
    })
  })

  describe("sg_format", () => {
    test("a thin unit is unmapped; with protection information of its own type only", async () => {
      const slow = rig.disk(Lun.slow).sg
      await rig.write(slow, 0, randomBytes(MiB))
      await rig.sh(`sg_format --format --quick --early ${slow}`)
      await rig.calm(slow)
      assert.ok(rig.stored("slow", 0, MiB).every((byte) => byte === 0))
      const type1 = rig.disk(Lun.type1).sg
      await rig.write(type1, 100, randomBytes(512))
      const format = (options: string) => `sg_format --format --quick --early ${options} ${type1}`
      await rig.refused(format("--fmtpinfo=0"), ExitCode.illegalRequest, "FORMAT UNIT failed")
      await rig.refused(format("--fmtpinfo=3"), ExitCode.illegalRequest, "FORMAT UNIT failed")
      await rig.sh(format("--fmtpinfo=2"))
      await rig.calm(type1)
      assert.ok((await rig.read(type1, 100, 1)).every((byte) => byte === 0))
    })

    test("refused: another block length, another capacity", async () => {
      const memory = rig.disk(Lun.memory).sg
      await rig.refused(
        `sg_format --format --quick --size=4096 ${memory}`,
        ExitCode.illegalRequest,
        "MODE SELECT command",
      )
      await rig.refused(
        `sg_format --resize --quick --count=1000 ${memory}`,
        ExitCode.illegalRequest,
        /Illegal request/,
      )
    })
  })

  test("killed: saved pages, identifying information and APTPL reservations are there again", async () => {
    const reserved = rig.disk(Lun.reserved).sg
    await rig.calm(sg, reserved)
    await rig.sh(`printf shelf-5 | sg_ident -S ${sg}`)
    await rig.sh(
      `sg_persist -n -o -G -S 0xe1 --param-aptpl ${reserved} && sg_persist -n -o -R -K 0xe1 -T 3 ${reserved}`,
    )
    await rig.kill()
    await rig.serve()
    for (let tries = 0; (await rig.run(`sg_turs ${sg} && sg_turs ${reserved}`)).code !== 0; tries++) {
      assert.ok(tries < 50, "the session isn't back")
      await sleep(300)
    }
    assert.match(await rig.sh(`sg_persist -n -i -r ${reserved}`), /Key=0xe1\n.*Exclusive Access/)
    assert.match(await rig.sh(`sg_persist -n -i -c ${reserved}`), /\(PTPL_A\): 1/)
    assert.match(await rig.sh(`sg_ident -A ${sg}`), /shelf-5/)
    const page = (await rig.sh(`sg_modes -p 8 ${sg}`)).split(">> ")[1] ?? ""
    assert.equal(bytesOf(page)[2], 0)
    await rig.sh(`sg_persist -n -o -C -K 0xe1 ${reserved}`)
  })
}
