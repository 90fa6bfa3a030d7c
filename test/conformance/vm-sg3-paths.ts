/** Asymmetric logical unit access: sg_rtpg, and sg_stpg, by which an initiator changes it. */
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import type { SgRig } from "./vm-sg3.ts"
import { ExitCode, numberOf } from "./vm-sg3-tools.ts"

const CHANGED = "Asymmetric access state changed"

export function paths(rig: SgRig): void {
  let one = ""
  let two = ""
  before(async () => {
    one = rig.path(1).sg
    two = rig.path(2).sg
    await rig.calm(one, two)
  })
  after(async () => {
    await rig.sh(`sg_stpg --tp=1,2 --state=ao,ao ${one}`)
    await rig.calm(one, two)
  })

  interface Group {
    readonly id: number
    readonly preferred: number
    readonly state: number
    readonly status: number
    readonly ports: readonly number[]
  }
  async function groups(sg: string, options = ""): Promise<Group[]> {
    const said = await rig.sh(`sg_rtpg ${options} ${sg}`)
    return said
      .split("target port group id :")
      .slice(1)
      .map((text) => ({
        id: Number(/^ (0x[0-9a-f]+)/.exec(text)?.[1]),
        preferred: numberOf("Pref", text),
        state: numberOf("access state", text),
        status: numberOf("status code", text),
        ports: (text.split("port ids:")[1]?.match(/0x[0-9a-f]+/g) ?? []).map(Number),
      }))
  }
  const group = (id: number, state: number, status: number): Group => ({
    id,
    preferred: id === 1 ? 1 : 0,
    state,
    status,
    ports: [id],
  })

  test("sg_rtpg, with the short and the extended header", async () => {
    for (const sg of [one, two]) {
      const expected = [group(1, 0, 0), group(2, 0, 0)]
      assert.deepEqual(await groups(sg), expected)
      assert.deepEqual(await groups(sg, "-e"), expected)
    }
    const extended = await rig.sh(`sg_rtpg -e ${one}`)
    assert.equal(numberOf("Implicit transition time", extended), 0)
    assert.match(extended, /T_SUP : 1, O_SUP : 1, LBD_SUP : 0, U_SUP : 1, S_SUP : 1, AN_SUP : 1, AO_SUP : 1/)
  })

  test("active/non-optimized: everything works, and the other side is told", async () => {
    await rig.sh(`sg_stpg --tp=2 --state=an ${one}`)
    assert.deepEqual((await groups(one))[1], group(2, 1, 1))
    assert.equal(await rig.attention(two), CHANGED)
    assert.equal((await rig.read(two, 0, 1)).length, 512)
  })

  test("standby: no data, but what tells of the unit", async () => {
    await rig.sh(`sg_stpg --tp=2 --state=s ${one}`)
    assert.deepEqual((await groups(one))[1], group(2, 2, 1))
    const standby = /Logical unit not accessible, target port in standby state/
    await rig.run(`sg_rtpg ${two}`) // the unit attention
    await rig.refused(`sg_turs -v ${two}`, ExitCode.notReady, standby)
    await rig.refused(`sg_dd if=${two} of=/dev/null bs=512 count=1`, ExitCode.notReady, /not ready/)
    assert.match(await rig.polled(two), standby)
    assert.match(await rig.sh(`sg_inq ${two}`), /PQual=0/)
    assert.equal((await groups(two)).length, 2)
    await rig.sh(`sg_readcap ${two} && sg_persist -n -i -k ${two} && sg_modes -a ${two} && sg_logs -a ${two}`)
    await rig.sh(`sg_turs ${one}`)
  })

  test("unavailable: hardly anything", async () => {
    await rig.sh(`sg_stpg --tp=2 --state=u ${one}`)
    assert.deepEqual((await groups(one))[1], group(2, 3, 1))
    const unavailable = /Logical unit not accessible, target port in unavailable state/
    await rig.run(`sg_rtpg ${two}`)
    await rig.refused(`sg_turs -v ${two}`, ExitCode.notReady, unavailable)
    await rig.refused(`sg_readcap -v ${two}`, ExitCode.notReady, unavailable)
    await rig.refused(`sg_persist -n -i -k -v ${two}`, ExitCode.notReady, unavailable)
    assert.match(await rig.sh(`sg_inq ${two}`), /PQual=1/)
    assert.match(await rig.sh(`sg_luns ${two}`), /^ +0{16}$/m)
    // SPC-4 §6.39: because of the peripheral qualifier
    assert.match(await rig.polled(two), /Logical unit not supported/)
  })

  test("and back, over the unavailable path itself", async () => {
    await rig.sh(`sg_stpg --tp=2 --state=ao ${two}`)
    assert.equal(await rig.attention(one), CHANGED)
    assert.deepEqual((await groups(one))[1], group(2, 0, 1))
    assert.equal((await rig.read(two, 0, 1)).length, 512)
  })

  test("both at once", async () => {
    await rig.sh(`sg_stpg --tp=1,2 --state=an,s ${one}`)
    assert.deepEqual(
      (await groups(one)).map(({ state }) => state),
      [1, 2],
    )
    await rig.sh(`sg_stpg --tp=1,2 --state=ao,ao ${one}`)
    await rig.calm(one, two)
  })

  test("refused: offline, a group that isn't there, a target without explicit states", async () => {
    // sg_stpg 1.46 tells of the failure, and ends with 0 all the same
    const refused = async (command: string) => {
      const { stderr } = await rig.run(command)
      assert.match(stderr, /Set Target Port Groups: Illegal request/)
    }
    await refused(`sg_stpg --tp=2 --state=o ${one}`)
    await refused(`sg_stpg --tp=3 --state=s ${one}`)
    await refused(`sg_stpg --tp=1 --state=s ${rig.disk(0).sg}`)
    assert.deepEqual(
      (await groups(one)).map(({ state }) => state),
      [0, 0],
    )
  })
}
