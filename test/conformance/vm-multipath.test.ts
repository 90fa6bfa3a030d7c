/**
 * The Linux kernel's multipathing, in a virtual machine, on two paths to a target of ours with a target port group each
 * (ALUA). The disk is in use meanwhile, by what notices every I/O error and every block that isn't what was written last.
 */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { AT_START, MAP, Multipath, type Path, type PathState } from "./vm-multipath.ts"

const multipath = new Multipath()
before(() => multipath.start())
after(() => multipath.stop())

const BOTH_SHOW_IT = "either path shows what was written last, which is what the image holds"

/** Waits until multipathd has seen a path as it should be. */
const seen = (what: string, isSo: (first: PathState, second: PathState) => boolean): Promise<void> =>
  multipath.until(what, async () => isSo(...(await multipath.paths())))

/**
 * A NIC's cable is pulled until I/O goes through the other path, and plugged again: it comes back, to both paths where the
 * kernel may make the other one active/optimized, which it does when that is all there is.
 */
async function pullCable(back: readonly Path[]): Promise<void> {
  await multipath.goesThrough(1)
  await multipath.guest.link(0, false)
  await seen("path 1 is down", ({ use }) => use === "failed")
  await multipath.goesThrough(2)
  await multipath.guest.link(0, true)
  await multipath.ready()
  await multipath.goesThrough(...back)
}

/** Every initiator port is told once per path, by the next command there (SPC-4 §5.16.2.5). */
async function swapStates(): Promise<void> {
  const before = await multipath.changesTold()
  await multipath.change("1 active/non-optimized 2 active/optimized")
  await multipath.goesThrough(2)
  await seen(
    "the priorities have changed",
    (first, second) => first.priority === 10 && second.priority === 50,
  )
  await multipath.until("both paths were told", async () => (await multipath.changesTold()) >= before + 2)
  await multipath.change(AT_START)
  await multipath.goesThrough(1)
  await seen("the priorities are back", (first, second) => first.priority === 50 && second.priority === 10)
}

/** What was sent is neither refused for good nor lost: it waits. */
async function hold(states: string): Promise<void> {
  await multipath.change(states)
  await multipath.until("I/O is held", () => multipath.isHeld())
  await multipath.change(AT_START)
  await multipath.goesThrough(1)
}

describe("two paths over TCP, whose states the target changes", () => {
  before(() => multipath.connect("iqn.2026-01.org.example:implicit", "implicit", ["tcp", "tcp"]))
  after(() => multipath.disconnect())

  test("ALUA is what the kernel and multipath-tools go by", async () => {
    const map = await multipath.guest.sh("multipath -ll")
    assert.match(map, /sanlet,disk/)
    assert.match(map, /hwhandler='1 alua'/)
    assert.match(
      map,
      /prio=50 status=\w+\n.* sd\w .*active ready running\n.*prio=10 status=enabled\n.* sd\w .*active ready running/,
    )
    const kernel = await multipath.guest.sh("dmesg | grep alua:")
    assert.match(kernel, /supports implicit TPGS/)
    assert.match(kernel, /port group 01 state A non-preferred supports TOlUSNA/)
    assert.match(kernel, /port group 02 state N non-preferred supports TOlUSNA/)
  })

  test("a pulled cable: I/O fails over, and back when it is plugged", () =>
    multipath.underLoad(() => pullCable([1])))

  test("connections that the target ends, and portals that let nobody in: the same", () =>
    multipath.underLoad(async () => {
      await multipath.change("1 offline")
      await seen("path 1 is down", ({ use }) => use === "failed")
      await multipath.goesThrough(2)
      await multipath.change(AT_START)
      await multipath.ready()
      await multipath.goesThrough(1)
    }))

  test("states that change places: I/O follows them", () => multipath.underLoad(swapStates))

  test("standby and unavailable: I/O goes through the other path, and back", () =>
    multipath.underLoad(async () => {
      for (const [state, check] of [
        ["standby", "ghost"],
        ["unavailable", "faulty"],
      ] as const) {
        await multipath.change(`1 ${state}`)
        await multipath.goesThrough(2)
        await seen(`path 1 is ${check}`, (first) => first.check === check)
        await multipath.change(AT_START)
        await multipath.goesThrough(1)
      }
    }))

  // what ends with 04h/0Ah, Linux 6.1 sends again on the same path (ACTION_DELAYED_REPREP in scsi_lib.c)
  test("transitioning, one or both: I/O waits", () =>
    multipath.underLoad(async () => {
      await hold("1 into active/optimized")
      await hold("1 into active/non-optimized 2 into active/optimized")
    }))

  test("neither to be used: I/O waits", () => multipath.underLoad(() => hold("1 standby 2 unavailable")))

  test(BOTH_SHOW_IT, () => multipath.compare())
})

/** SET TARGET PORT GROUPS through a path. */
const set = (path: Path, states: string): Promise<string> =>
  multipath.guest.sh(`sg_stpg --tp=1,2 --state=${states} ${multipath.node(path)}`)

describe("a path over TCP and one over iSER, whose states initiators may change", () => {
  before(() => multipath.connect("iqn.2026-01.org.example:explicit", "explicit", ["tcp", "iser"]))
  after(() => multipath.disconnect())

  test("each is what it should be", async () => {
    assert.deepEqual(await transports(), ["tcp", "iser"])
    assert.match(await multipath.guest.sh("dmesg | grep alua:"), /supports implicit and explicit TPGS/)
  })

  test("a pulled cable: I/O fails over, and back when it is plugged", () =>
    multipath.underLoad(() => pullCable([1, 2])))

  test("states that the guest changes with sg_stpg: I/O follows them", () =>
    multipath.underLoad(async () => {
      await multipath.goesThrough(1)
      await set(1, "an,ao")
      await multipath.goesThrough(2)
      await set(2, "ao,an")
      await multipath.goesThrough(1)
    }))

  test("mpathpersist registers and reserves through both paths: I/O may go through either", async () => {
    const persist = (action: string) => multipath.guest.sh(`mpathpersist --out ${action} ${MAP}`)
    await persist("--register --param-sark=c3c3")
    await persist("--reserve --param-rk=c3c3 --prout-type=5")
    const show = (what: string) => multipath.guest.sh(`sg_persist -n -i ${what} ${multipath.node(2)}`)
    assert.equal((await show("-k")).match(/^\s+0xc3c3$/gm)?.length, 2)
    assert.match(await show("-r"), /Key=0xc3c3[^]*Write Exclusive, registrants only/)
    await multipath.underLoad(async () => {
      await multipath.change("1 active/non-optimized 2 active/optimized")
      await multipath.goesThrough(2)
    })
    await persist("--release --param-rk=c3c3 --prout-type=5")
    await persist("--register --param-rk=c3c3 --param-sark=0")
    assert.match(await show("-k"), /NO registered reservation keys/i)
  })

  test("standby, both: the kernel makes the path active that it wants to use", () =>
    multipath.underLoad(async () => {
      await set(2, "s,s")
      await multipath.goesOn()
    }))

  test(BOTH_SHOW_IT, () => multipath.compare())
})

describe("two paths over iSER", () => {
  before(() => multipath.connect("iqn.2026-01.org.example:iser", "implicit", ["iser", "iser"]))
  after(() => multipath.disconnect())

  test("each is what it should be", async () => assert.deepEqual(await transports(), ["iser", "iser"]))

  test("a pulled cable: I/O fails over, and back when it is plugged", () =>
    multipath.underLoad(() => pullCable([1])))

  test(BOTH_SHOW_IT, () => multipath.compare())
})

/** What each session goes over. */
async function transports(): Promise<string[]> {
  const sessions = await multipath.guest.sh("iscsiadm -m session")
  return sessions.split("\n").map((line) => line.split(":")[0]!)
}
