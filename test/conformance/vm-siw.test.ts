/** Our iWARP device with the Linux kernel's (siw), below rdma-core's programs: connections, sends, RDMA Reads and Writes. */
import assert from "node:assert/strict"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { after, before, describe, test } from "node:test"
import { fileURLToPath } from "node:url"
import { type Guest, Rig } from "../rig/rig.ts"

const PORT = 7174
const COUNT = 20
/**
 * All rping's client may say when it ends with 255 though everything went well: its thread that waits for events ends the
 * process (exit(-1)) when the main one, which is done, has closed their channel first.
 */
const CLOSED_EARLY = /^\s*client DISCONNECT EVENT\.\.\.\s+rdma_get_cm_event: Bad file descriptor\s*$/

describe("siw", () => {
  let rig: Rig | undefined
  let guest: Guest

  before(async () => {
    rig = await Rig.start()
    guest = await rig.boot()
    await guest.sh("rig-rdma siw eth0")
  })
  after(() => rig?.stop())

  /** Our end of rping, on the host side of the network. */
  function ours(role: "server" | "client", host: string, bytes: number): ChildProcess {
    const script = fileURLToPath(new URL("rping-peer.ts", import.meta.url))
    const args = ["--import", "tsx", script, role, host, String(PORT), String(COUNT), String(bytes)]
    if (!rig) throw new Error("not started")
    return rig.network.spawn(process.execPath, args)
  }

  /** What a process said until it ended, which must be well. */
  async function ended(child: ChildProcess): Promise<string> {
    let said = ""
    child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()))
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()))
    const [code] = await once(child, "exit")
    assert.equal(code, 0, said)
    return said
  }

  for (const settings of ["", "mpa_crc_required=1 mpa_crc_strict=1", "peer_to_peer=1", "mpa_version=1"]) {
    describe(settings === "" ? "as it comes" : `with ${settings}`, () => {
      before(async () => {
        await guest.sh(`rdma link delete siw0 && modprobe -r siw && rig-rdma siw eth0 ${settings}`)
      })

      for (const bytes of [64, 65_535]) {
        test(`its client reads and writes ${bytes} bytes of ours`, async () => {
          const host = rig?.network.hostAddress() ?? ""
          const server = ours("server", host, bytes)
          await once(server.stdout ?? server, "data")
          const over = ended(server)
          const pinging = `rping -c -a ${host} -p ${PORT} -C ${COUNT} -S ${bytes} -V`
          const { code, stdout, stderr } = await guest.run(pinging, { deadlineMs: 30_000 })
          const said = `${stdout}\n${stderr}`
          assert.ok(code === 0 || (code === 255 && CLOSED_EARLY.test(said)), `exit code ${code}: ${said}`)
          assert.match(await over, new RegExp(`done ${COUNT}`))
        })

        test(`our client has ${bytes} bytes read and written by it`, async () => {
          const host = rig?.network.guestAddress(guest.number) ?? ""
          const serving = guest.run(
            `rping -s -a ${host} -p ${PORT} -C ${COUNT} -S ${bytes} -v > /tmp/rping; grep -c "server ping data" /tmp/rping`,
          )
          await guest.sh(`until rdma resource show cm_id | grep -q LISTEN; do sleep 0.1; done`, {
            deadlineMs: 20_000,
          })
          assert.match(await ended(ours("client", host, bytes)), new RegExp(`done ${COUNT}`))
          assert.equal((await serving).stdout.trim(), String(COUNT))
        })
      }
    })
  }
})
