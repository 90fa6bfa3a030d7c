/** Persistent reservations by sg_persist: every action, from two initiators and through two target ports. */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { GUEST_NAME, Lun, OTHER_NAME, type SgRig } from "./vm-sg3.ts"
import { ExitCode } from "./vm-sg3-tools.ts"

const types = {
  1: "Write Exclusive",
  3: "Exclusive Access",
  5: "Write Exclusive, registrants only",
  6: "Exclusive Access, registrants only",
  7: "Write Exclusive, all registrants",
  8: "Exclusive Access, all registrants",
} as const
type Type = keyof typeof types
const allTypes = Object.keys(types).map(Number) as Type[]

interface FullStatus {
  readonly key: number
  readonly port: number
  /** Of the reservation it holds. */
  readonly type: string | undefined
  readonly transportId: string
}

class Persist {
  readonly #rig: SgRig
  constructor(rig: SgRig) {
    this.#rig = rig
  }

  /** PERSISTENT RESERVE OUT; throws unless it is GOOD. */
  async out(sg: string, action: string): Promise<void> {
    await this.#rig.sh(`sg_persist --no-inquiry --out ${action} ${sg}`)
  }

  async refused(sg: string, action: string, code: number, said: RegExp): Promise<void> {
    await this.#rig.refused(`sg_persist --no-inquiry --out ${action} -v ${sg}`, code, said)
  }

  in(sg: string, action: string): Promise<string> {
    return this.#rig.sh(`sg_persist --no-inquiry --in ${action} ${sg}`)
  }

  /** Sorted. */
  async keys(sg: string): Promise<number[]> {
    const said = await this.in(sg, "--read-keys")
    return [...said.matchAll(/^ {4}0x([0-9a-f]+)$/gm)]
      .map(([, key]) => Number.parseInt(key!, 16))
      .toSorted((a, b) => a - b)
  }

  async generation(sg: string): Promise<number> {
    return Number(/PR generation=(0x[0-9a-f]+)/.exec(await this.in(sg, "--read-keys"))?.[1])
  }

  /** Its key and type. */
  async reservation(sg: string): Promise<[key: number, type: string] | undefined> {
    const said = await this.in(sg, "--read-reservation")
    if (said.includes("there is NO reservation held")) return undefined
    const [, key, type] = /Key=(0x[0-9a-f]+)\n +scope: LU_SCOPE, +type: (.*)/.exec(said) ?? assert.fail(said)
    return [Number(key), type!]
  }

  async fullStatus(sg: string): Promise<FullStatus[]> {
    const said = await this.in(sg, "--read-full-status")
    return said
      .split(/^ {4}Key=/m)
      .slice(1)
      .map((text) => ({
        key: Number.parseInt(text, 16),
        port: Number(/Relative port address: (0x[0-9a-f]+)/.exec(text)?.[1]),
        type: /<< Reservation holder >>\n +scope: LU_SCOPE, +type: (.*)/.exec(text)?.[1],
        transportId: /iSCSI world wide unique port id: (\S+)/.exec(text)?.[1] ?? text,
      }))
  }
}

// sg_dd ends with 99 whatever a write ended with; sg_raw says what it was
const readBlock = (rig: SgRig, sg: string) => rig.run(`sg_raw -r 512 ${sg} 28 0 0 0 0 0 0 0 1 0`)
const writeBlock = (rig: SgRig, sg: string) =>
  rig.run(`head -c 512 /dev/zero | sg_raw -s 512 ${sg} 2a 0 0 0 0 0 0 0 1 0`)

const KEY = { mine: 0xa1, theirs: 0xb1 }

export function reservations(rig: SgRig): void {
  const persist = new Persist(rig)
  let a = ""
  let b = ""
  before(() => {
    a = rig.disk(Lun.reserved).sg
    b = rig.disk(Lun.reserved, "other").sg
  })

  const read = (sg: string) => readBlock(rig, sg)
  const write = (sg: string) => writeBlock(rig, sg)
  /** Registers both, and nobody has anything left to be told. */
  async function bothRegistered(): Promise<void> {
    await persist.out(a, "--register-ignore --param-sark=a1")
    await persist.out(b, "--register-ignore --param-sark=b1")
    await rig.calm(a, b)
  }
  async function cleared(): Promise<void> {
    await rig.calm(a, b)
    if ((await persist.keys(a)).length === 0) return
    await persist.out(a, "--register-ignore --param-sark=a1")
    await persist.out(a, "--clear --param-rk=a1")
    await rig.calm(a, b)
  }

  describe("registering", () => {
    after(cleared)

    test("nobody at first", async () => {
      assert.match(await persist.in(a, "--read-keys"), /there are NO registered reservation keys/)
      assert.equal(await persist.reservation(a), undefined)
      assert.deepEqual(await persist.fullStatus(a), [])
    })

    test("capabilities: all of them", async () => {
      const said = await persist.in(a, "--report-capabilities")
      for (const capability of ["RLR_C", "CRH", "SIP_C", "ATP_C", "PTPL_C"]) {
        assert.match(said, new RegExp(`\\(${capability}\\): 1`))
      }
      assert.match(said, /\(PTPL_A\): 0/)
      assert.match(said, /Type Mask Valid\(TMV\): 1\n +Allow Commands: 4/)
      for (const type of Object.values(types)) assert.match(said, new RegExp(`^ +${type}: 1$`, "m"))
    })

    test("REGISTER, with the key there is or not at all", async () => {
      const before = await persist.generation(a)
      await persist.out(a, "--register --param-sark=a1")
      assert.deepEqual(await persist.keys(b), [KEY.mine])
      await persist.refused(
        a,
        "--register --param-rk=99 --param-sark=a2",
        ExitCode.reservationConflict,
        /reservation conflict/i,
      )
      await persist.refused(
        b,
        "--register --param-rk=b1 --param-sark=b2",
        ExitCode.reservationConflict,
        /reservation conflict/i,
      )
      await persist.out(a, "--register --param-rk=a1 --param-sark=a2")
      assert.deepEqual(await persist.keys(b), [0xa2])
      assert.equal(await persist.generation(a), before + 2)
    })

    test("REGISTER AND IGNORE EXISTING KEY, and full status", async () => {
      await persist.out(a, "--register-ignore --param-sark=a1")
      await persist.out(b, "--register-ignore --param-sark=b1")
      assert.deepEqual(await persist.keys(a), [KEY.mine, KEY.theirs])
      const [first, second] = await persist.fullStatus(a)
      const port = (initiator: string) => new RegExp(`^${initiator},i,0x[0-9a-f]{12}$`)
      assert.match(first!.transportId, port(GUEST_NAME))
      assert.match(second!.transportId, port(OTHER_NAME))
      assert.deepEqual([first?.key, first?.port, first?.type], [KEY.mine, 1, undefined])
      assert.deepEqual([second?.key, second?.port, second?.type], [KEY.theirs, 1, undefined])
    })

    test("APTPL is told of, and ends with a registration without", async () => {
      const active = async () => /\(PTPL_A\): (\d)/.exec(await persist.in(b, "--report-capabilities"))?.[1]
      await persist.out(a, "--register-ignore --param-sark=a1 --param-aptpl")
      assert.equal(await active(), "1")
      await persist.out(a, "--register-ignore --param-sark=a1")
      assert.equal(await active(), "0")
    })

    test("unregistering: the key 0", async () => {
      await persist.out(b, "--register --param-rk=b1 --param-sark=0")
      assert.deepEqual(await persist.keys(a), [KEY.mine])
    })

    test("CLEAR tells the others", async () => {
      await bothRegistered()
      await persist.out(a, "--reserve --param-rk=a1 --prout-type=5")
      await persist.out(b, "--clear --param-rk=b1")
      assert.deepEqual(await persist.keys(b), [])
      assert.equal(await persist.reservation(b), undefined)
      assert.equal(await rig.attention(a), "Reservations preempted")
      assert.equal(await rig.attention(b), undefined)
    })
  })

  describe("reserving", () => {
    before(bothRegistered)
    after(cleared)

    for (const type of allTypes) {
      const writesOnly = type === 1 || type === 5 || type === 7
      const registrants = type >= 5

      test(`${types[type]}: who may what, and who is told of the release`, async () => {
        await persist.out(a, `--reserve --param-rk=a1 --prout-type=${type}`)
        assert.deepEqual(await persist.reservation(b), [type >= 7 ? 0 : KEY.mine, types[type]])
        const status = await persist.fullStatus(b)
        assert.deepEqual(
          status.map((one) => one.type),
          [types[type], type >= 7 ? types[type] : undefined],
        )
        assert.equal((await write(a)).code, 0)
        assert.equal((await write(b)).code, registrants ? 0 : ExitCode.reservationConflict)
        assert.equal((await read(b)).code, registrants || writesOnly ? 0 : ExitCode.reservationConflict)
        await persist.refused(
          a,
          `--release --param-rk=a1 --prout-type=${type === 1 ? 3 : 1}`,
          ExitCode.illegalRequest,
          /Invalid release of persistent reservation/,
        )
        await persist.out(a, `--release --param-rk=a1 --prout-type=${type}`)
        assert.equal(await persist.reservation(a), undefined)
        assert.equal(await rig.attention(b), registrants ? "Reservations released" : undefined)
        assert.equal((await write(b)).code, 0)
      })
    }

    test("registrants only: who isn't registered is kept out", async () => {
      await persist.out(b, "--register --param-rk=b1 --param-sark=0")
      for (const [type, readable] of [
        [5, true],
        [8, false],
      ] as const) {
        await persist.out(a, `--reserve --param-rk=a1 --prout-type=${type}`)
        assert.equal((await write(b)).code, ExitCode.reservationConflict)
        assert.equal((await read(b)).code, readable ? 0 : ExitCode.reservationConflict)
        await persist.refused(
          b,
          `--reserve --param-rk=0 --prout-type=${type}`,
          ExitCode.reservationConflict,
          /reservation conflict/i,
        )
        await persist.out(a, `--release --param-rk=a1 --prout-type=${type}`)
      }
      await bothRegistered()
    })

    test("another reservation, another key, no such type", async () => {
      const conflict = (sg: string, action: string) =>
        persist.refused(sg, action, ExitCode.reservationConflict, /reservation conflict/i)
      await persist.out(a, "--reserve --param-rk=a1 --prout-type=1")
      await persist.out(a, "--reserve --param-rk=a1 --prout-type=1") // the same again
      await conflict(a, "--reserve --param-rk=a1 --prout-type=3")
      await conflict(b, "--reserve --param-rk=b1 --prout-type=1")
      await conflict(a, "--release --param-rk=b1 --prout-type=1")
      await persist.out(b, "--release --param-rk=b1 --prout-type=1") // it isn't the holder: nothing happens
      assert.deepEqual(await persist.reservation(b), [KEY.mine, types[1]])
      await persist.out(a, "--release --param-rk=a1 --prout-type=1")
      await persist.refused(
        a,
        "--reserve --param-rk=a1 --prout-type=2",
        ExitCode.illegalRequest,
        /Invalid field in cdb/,
      )
    })

    test("REPLACE LOST RESERVATION has nothing to replace", () =>
      persist.refused(
        a,
        "--replace-lost --param-sark=a1 --prout-type=1",
        ExitCode.illegalRequest,
        /Invalid release of persistent reservation/,
      ))
  })

  describe("preempting", () => {
    before(cleared)
    after(cleared)

    for (const [name, action] of [
      ["PREEMPT", "--preempt"],
      ["PREEMPT AND ABORT", "--preempt-abort"],
    ] as const) {
      test(`${name}: the reservation changes hands`, async () => {
        await bothRegistered()
        await persist.out(a, "--reserve --param-rk=a1 --prout-type=3")
        await persist.out(b, `${action} --param-rk=b1 --param-sark=a1 --prout-type=1`)
        assert.deepEqual(await persist.reservation(b), [KEY.theirs, types[1]])
        assert.deepEqual(await persist.keys(b), [KEY.theirs])
        assert.equal(await rig.attention(a), "Registrations preempted")
        assert.equal((await write(a)).code, ExitCode.reservationConflict)
        assert.equal((await read(a)).code, 0)
        await persist.out(b, "--clear --param-rk=b1")
      })

      test(`${name}: a registration alone`, async () => {
        await bothRegistered()
        await persist.out(a, "--reserve --param-rk=a1 --prout-type=5")
        await persist.out(a, `${action} --param-rk=a1 --param-sark=b1 --prout-type=5`)
        assert.deepEqual(await persist.keys(a), [KEY.mine])
        assert.deepEqual(await persist.reservation(a), [KEY.mine, types[5]])
        assert.equal(await rig.attention(b), "Registrations preempted")
        await persist.refused(
          a,
          `${action} --param-rk=a1 --param-sark=c1 --prout-type=5`,
          ExitCode.reservationConflict,
          /reservation conflict/i,
        )
        await persist.out(a, "--clear --param-rk=a1")
      })

      test(`${name}: all registrants, with the key 0`, async () => {
        await bothRegistered()
        await persist.out(a, "--reserve --param-rk=a1 --prout-type=8")
        await persist.out(b, `${action} --param-rk=b1 --param-sark=0 --prout-type=7`)
        assert.deepEqual(await persist.keys(b), [KEY.theirs])
        assert.deepEqual(await persist.reservation(b), [0, types[7]])
        assert.equal(await rig.attention(a), "Registrations preempted")
        await persist.out(b, "--clear --param-rk=b1")
      })
    }
  })

  describe("through two target ports", () => severalPorts(rig, persist))
}

function severalPorts(rig: SgRig, persist: Persist): void {
  let one = ""
  let two = ""
  let oneOther = ""
  let twoOther = ""
  before(() => {
    one = rig.path(1).sg
    two = rig.path(2).sg
    oneOther = rig.path(1, "other").sg
    twoOther = rig.path(2, "other").sg
  })
  const calm = () => rig.calm(one, two, oneOther, twoOther)
  const places = async () =>
    (await persist.fullStatus(one)).map(({ key, port, transportId }) => [
      key,
      port,
      transportId.split(",")[0],
    ])

  test("ALL_TG_PT registers the initiator port through both", async () => {
    await persist.out(one, "--register --param-sark=c1 --param-alltgpt")
    assert.deepEqual(await places(), [
      [0xc1, 1, GUEST_NAME],
      [0xc1, 2, GUEST_NAME],
    ])
    const [first, second] = await persist.fullStatus(one)
    assert.equal(first?.transportId, second?.transportId)
    // Every session of open-iscsi has an ISID of its own, so that the other path is that of another initiator port.
    await persist.refused(
      two,
      "--reserve --param-rk=c1 --prout-type=5",
      ExitCode.reservationConflict,
      /reservation conflict/i,
    )
    await persist.out(one, "--reserve --param-rk=c1 --prout-type=5")
    assert.equal((await writeBlock(rig, two)).code, ExitCode.reservationConflict)
    assert.equal((await writeBlock(rig, one)).code, 0)
    await persist.out(one, "--register --param-rk=c1 --param-sark=0 --param-alltgpt")
    assert.deepEqual(await places(), [])
    assert.equal(await persist.reservation(one), undefined)
    await calm()
  })

  test("SPEC_I_PT registers initiator ports by their TransportIDs, with ALL_TG_PT through both ports", async () => {
    await persist.out(oneOther, "--register --param-sark=b1")
    const port = (await persist.fullStatus(one))[0]!.transportId
    await persist.out(oneOther, "--clear --param-rk=b1")
    await persist.out(one, `--register --param-sark=d1 --transport-id=${port}`)
    assert.deepEqual(await places(), [
      [0xd1, 1, GUEST_NAME],
      [0xd1, 1, OTHER_NAME],
    ])
    await persist.out(oneOther, "--reserve --param-rk=d1 --prout-type=1") // it is registered indeed
    await persist.out(one, "--clear --param-rk=d1")
    await calm()
    await persist.out(one, `--register --param-sark=d2 --param-alltgpt --transport-id=${OTHER_NAME}`)
    const both = await places()
    assert.equal(both.length, 6, JSON.stringify(both)) // a name alone means both of its initiator ports
    assert.equal(both.filter(([, , initiator]) => initiator === OTHER_NAME).length, 4)
    await persist.out(one, "--clear --param-rk=d2")
    await calm()
    await persist.refused(
      one,
      "--register --param-sark=d1 --transport-id=sas,5000c50000000001",
      ExitCode.illegalRequest,
      /Invalid field in parameter list/,
    )
    assert.deepEqual(await places(), [])
  })

  test("REGISTER AND MOVE: the reservation goes to another initiator, through another port", async () => {
    await persist.out(twoOther, "--register --param-sark=b1")
    const port = (await persist.fullStatus(one))[0]!.transportId
    await persist.out(one, "--register --param-sark=a1")
    await persist.out(one, "--reserve --param-rk=a1 --prout-type=3")
    await persist.out(
      one,
      `--register-move --param-rk=a1 --param-sark=b2 --relative-target-port=2 --param-unreg --transport-id=${port}`,
    )
    assert.deepEqual(await places(), [[0xb2, 2, OTHER_NAME]])
    assert.deepEqual(await persist.reservation(one), [0xb2, "Exclusive Access"])
    assert.equal((await readBlock(rig, one)).code, ExitCode.reservationConflict)
    await calm()
    await persist.out(twoOther, "--clear --param-rk=b2")
    await calm()
  })
}
