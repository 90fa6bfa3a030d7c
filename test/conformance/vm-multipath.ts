/** dm-multipath in a virtual machine, and a target that it reaches on two paths: two NICs, two portals, two target port groups. */
import assert from "node:assert/strict"
import type { ChildProcess } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { type Guest, Rig } from "../rig/rig.ts"
import { MiB, Scratch } from "./serve.ts"

export type Transport = "tcp" | "iser"
/** Of path 1 and path 2, which are named after their portal groups. */
export type Both<T> = readonly [T, T]
export type Path = 1 | 2

/** open-iscsi's names of its interfaces. */
const INTERFACES = { tcp: "default", iser: "iser" } as const
const MODULES = "iscsi_tcp ib_iser sd_mod sg dm_multipath dm_service_time scsi_dh_alua".split(" ")

/** Quick to find out; for the rest what is advised for ALUA. */
const MULTIPATH_CONF = `defaults {
  user_friendly_names yes
  find_multipaths no
  path_grouping_policy group_by_prio
  failback immediate
  no_path_retry queue
  polling_interval 1
  max_polling_interval 1
  reservation_key file
}
blacklist {
  devnode "^vd"
}
`
const ISCSID_SETTINGS = {
  "node.conn[0].timeo.noop_out_interval": "1",
  "node.conn[0].timeo.noop_out_timeout": "2",
}

/** As two-path-target.ts begins. */
export const AT_START = "1 active/optimized 2 active/non-optimized"

export const MAP = "/dev/mapper/mpatha"
const IMAGE_BYTES = 8 * MiB
const DEADLINE_MS = 60_000
const LOAD_DEADLINE_MS = 150_000
const WRITES_PER_SECOND = 200
/** How long I/O is watched, and the writes in that time that show where it goes. */
const WATCHED_MS = 800
const WRITES_SEEN = 20
/** Longer than fio needs to start. */
const HELD_MS = 2500

const FIO =
  "fio --name=load --rw=randwrite --bs=4k --size=2M --direct=1 --ioengine=libaio --iodepth=4 --verify=crc32c --verify_fatal=1"
/** Writes and reads back, round after round with data of another seed, until told to stop. */
const load = (seed: number): string => `rm -f /tmp/stop
for round in $(seq 1000); do
  echo $((${seed} + round)) > /tmp/seed
  ${FIO} --filename=${MAP} --randseed=$(cat /tmp/seed) --rate_iops=,${WRITES_PER_SECOND} || exit
  [ ! -e /tmp/stop ] || exit 0
done`

/** What multipathd makes of a path. */
export interface PathState {
  readonly priority: number
  /** Of device-mapper: active, failed. */
  readonly use: string
  /** Of its checker: ready, ghost, faulty, i/o pending, ... */
  readonly check: string
}

export class Multipath {
  readonly #scratch = new Scratch()
  readonly #image = this.#scratch.image("disk.img", IMAGE_BYTES)
  #rig: Rig | undefined
  #guest: Guest | undefined
  #program: ChildProcess | undefined
  #said: AsyncIterator<string> | undefined
  #devices: Both<string> = ["", ""]
  #loads = 0

  get guest(): Guest {
    if (!this.#guest) throw new Error("not started")
    return this.#guest
  }

  async start(): Promise<void> {
    this.#rig = await Rig.start()
    this.#guest = await this.#rig.boot({ nics: 2, modules: MODULES })
    await this.guest.write("/etc/multipath.conf", MULTIPATH_CONF)
    await this.guest.sh("rig-udev; multipathd; rig-rdma siw eth0; rig-rdma siw eth1")
    await this.until("multipathd answers", async () => {
      return (await this.guest.run("multipathd show daemon")).code === 0
    })
  }

  async stop(): Promise<void> {
    await this.#rig?.stop()
    this.#scratch.remove()
  }

  /** Serves the disk and has the guest log in on both paths, each over its transport. */
  async connect(iqn: string, mode: "implicit" | "explicit", transports: Both<Transport>): Promise<void> {
    const network = this.#rig!.network
    const hosts = [network.hostAddress(0), network.hostAddress(1)]
    const script = fileURLToPath(new URL("two-path-target.ts", import.meta.url))
    const args = ["--import", "tsx", script, iqn, this.#image, mode, ...hosts]
    this.#program = network.spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] })
    this.#said = createInterface({ input: this.#program.stdout! })[Symbol.asyncIterator]()
    assert.equal(await this.#line(), "ready")
    for (const [i, host] of hosts.entries()) {
      const node = `iscsiadm -m node -T ${iqn} -p ${host}:3260,${i + 1} -I ${INTERFACES[transports[i]!]}`
      const settings = Object.entries(ISCSID_SETTINGS).map(([key, value]) => `-n '${key}' -v ${value}`)
      await this.guest.sh(`${node} -o new && ${node} -o update ${settings.join(" ")} && ${node} -l`)
    }
    const link = (host: string | undefined) => `/dev/disk/by-path/ip-${host}:3260-iscsi-${iqn}-lun-0`
    await this.until("both disks are there", async () => {
      const found = await this.guest.run(`ls ${hosts.map(link).join(" ")} && ls ${MAP}`)
      return found.code === 0
    })
    const names = await this.guest.sh(`basename -a $(readlink -f ${hosts.map(link).join(" ")})`)
    const [first = "", second = ""] = names.split("\n")
    this.#devices = [first, second]
    await this.ready()
  }

  async disconnect(): Promise<void> {
    await this.guest.sh("multipath -F; iscsiadm -m node -u && iscsiadm -m node -o delete")
    const program = this.#program!
    program.stdin?.end()
    if (program.exitCode === null) await once(program, "exit")
  }

  /** Changes access states on the target, in two-path-target's words. */
  async change(line: string): Promise<void> {
    this.#program!.stdin?.write(`${line}\n`)
    const told = await this.#line()
    assert.match(told, /^1 \S+ 2 \S+$/)
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#said!.next()
    if (done) throw new Error("the target's program has ended")
    return value
  }

  // ------------------------------------------------------------------------------------ what the guest sees

  /** `/dev/sdX` of a path. */
  node(path: Path): string {
    return `/dev/${this.#devices[path - 1]}`
  }

  async paths(): Promise<Both<PathState>> {
    const lines = (await this.guest.sh(`multipathd show paths raw format "%d,%p,%t,%T"`)).split("\n")
    const states = this.#devices.map((device): PathState => {
      const [, priority, use, check] = lines.find((line) => line.startsWith(`${device},`))?.split(",") ?? []
      return { priority: Number(priority), use: use?.trim() ?? "missing", check: check?.trim() ?? "missing" }
    })
    return [states[0]!, states[1]!]
  }

  /** Waits until both paths may be used. */
  ready(): Promise<void> {
    return this.until("both paths are ready", async () => {
      return (await this.paths()).every(({ use, check }) => use === "active" && check === "ready")
    })
  }

  /** Writes that each path, and reads and writes that the map has done, as the kernel counts them. */
  async counts(): Promise<{ readonly writes: Both<number>; readonly operations: number }> {
    const nodes = [...this.#devices, `$(basename $(readlink -f ${MAP}))`]
    const text = await this.guest.sh(`cat ${nodes.map((node) => `/sys/block/${node}/stat`).join(" ")}`)
    const rows = text.split("\n").map((line) => line.trim().split(/\s+/).map(Number))
    const [one, two, both] = rows.map(([reads = 0, , , , writes = 0]) => ({ reads, writes }))
    return { writes: [one!.writes, two!.writes], operations: both!.reads + both!.writes }
  }

  /** Waits until the load's writes go through these paths, and no other. */
  goesThrough(...paths: Path[]): Promise<void> {
    return this.until(`writes go through ${paths.join(" and ")} alone`, async () => {
      const before = (await this.counts()).writes
      await sleep(WATCHED_MS)
      const after = (await this.counts()).writes
      return ([1, 2] as const).every((path) => {
        const seen = after[path - 1]! - before[path - 1]!
        return paths.includes(path) ? seen >= WRITES_SEEN : seen === 0
      })
    })
  }

  /** Waits until the load writes, wherever. */
  goesOn(): Promise<void> {
    return this.until("writes go on", async () => {
      const before = (await this.counts()).writes
      await sleep(WATCHED_MS)
      const [one, two] = (await this.counts()).writes
      return one + two >= before[0] + before[1] + WRITES_SEEN
    })
  }

  /** Whether the load does nothing for a while, in the same round: it waits for what it has begun. */
  async isHeld(): Promise<boolean> {
    /** Undefined: between two rounds. */
    const sight = async (): Promise<string | undefined> => {
      const { operations } = await this.counts()
      const { code, stdout } = await this.guest.run("cat /tmp/seed && pgrep -x fio")
      return code === 0 ? `${operations} ${stdout}` : undefined
    }
    const before = await sight()
    await sleep(HELD_MS)
    return before !== undefined && before === (await sight())
  }

  /** How often the kernel was told that access states have changed (2Ah/06h). */
  async changesTold(): Promise<number> {
    return Number((await this.guest.run("dmesg | grep -c 'Asymmetric access state changed'")).stdout)
  }

  // ------------------------------------------------------------------------------------------------ load

  /** Does something to a disk in use, then puts all back in place: no I/O error is seen, and what was written is there. */
  async underLoad(harm: () => Promise<void>): Promise<void> {
    const { guest } = this
    const ended = new AbortController()
    const loading = guest
      .run(load(++this.#loads * 1000), { deadlineMs: LOAD_DEADLINE_MS })
      .finally(() => ended.abort())
    const before = (await this.counts()).operations
    let failure: Error | undefined
    try {
      await this.until(
        "the load has begun",
        async () => (await this.counts()).operations > before + WRITES_SEEN,
      )
      await harm()
      assert.ok(!ended.signal.aborted, "the load is over too early")
    } catch (error) {
      failure = new Error(`${(error as Error).message}\n${await this.#sight()}`, { cause: error })
    }
    await this.#restore()
    await guest.run("touch /tmp/stop")
    const { code, stdout, stderr } = await loading
    if (failure) throw failure
    assert.equal(code, 0, stdout + stderr)
  }

  async #restore(): Promise<void> {
    for (const nic of [0, 1]) await this.guest.link(nic, true)
    await this.change(AT_START)
    await this.ready()
  }

  async #sight(): Promise<string> {
    return (await this.guest.run("multipath -ll; dmesg | tail -12", { deadlineMs: 20_000 })).stdout
  }

  /** Either path shows what was written last, and it is what the image holds. */
  async compare(): Promise<void> {
    const image = createHash("md5").update(readFileSync(this.#image)).digest("hex")
    for (const path of [1, 2] as const) {
      const node = this.node(path)
      await this.guest.sh(`${FIO} --verify_only --filename=${node} --randseed=$(cat /tmp/seed)`)
      const sum = await this.guest.sh(`dd if=${node} bs=1M iflag=direct status=none | md5sum`)
      assert.equal(sum.split(" ")[0], image, `through ${node}`)
    }
  }

  async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const giveUp = Date.now() + DEADLINE_MS
    while (!(await isSo())) {
      if (Date.now() > giveUp) throw new Error(`waited in vain: ${what}`)
      await sleep(100)
    }
  }
}
