/**
 * Disks with protection information (T10 DIF) in the hands of the Linux kernel. Neither iscsi_tcp nor iSER over software RDMA lets
 * the kernel send or check any (SHOST_DIF_*, in prot_capabilities): the block layer's blocks are protected by the target,
 * and the user's own commands (SG_IO) carry it.
 */
import assert from "node:assert/strict"
import { closeSync, openSync, readSync, writeSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { MiB } from "./serve.ts"
import { ReconfiguredTarget } from "./vm-disc.ts"
import { KernelInitiator } from "./vm-kernel.ts"

const iqn = "iqn.2026-01.org.example:protected"
const PI_BYTES = 8
/** Of an image with protection information (docs/configuration.md): a header, then blocks with 16 bytes each. */
const HEADER_BYTES = 4096
const BESIDE_BYTES = 16
const RDPROTECT = { checked: 1, unchecked: 3 } as const

const kernel = new KernelInitiator("tcp")
const sh = (command: string): Promise<string> => kernel.guest.sh(command, { deadlineMs: 60_000 })
let target: ReconfiguredTarget

const disks = [
  { lun: 0, type: 1, blockBytes: 512 },
  { lun: 1, type: 2, blockBytes: 512 },
  { lun: 2, type: 3, blockBytes: 512 },
  { lun: 3, type: 1, blockBytes: 4096 },
] as const
type ProtectedDisk = (typeof disks)[number]

const image = ({ lun }: ProtectedDisk): string => kernel.scratch.path(`${lun}.img`)

before(async () => {
  await kernel.start()
  target = new ReconfiguredTarget(kernel, iqn)
  await target.start(
    disks.map((disk) => ({
      lun: disk.lun,
      device: { type: "file", path: image(disk), size: 32 * MiB },
      blockSize: disk.blockBytes,
      protection: { type: disk.type },
    })),
  )
})
after(async () => {
  await target?.stop()
  await kernel.stop()
})

/** CRC-16/T10-DIF, bit by bit: x^16 + x^15 + x^11 + x^9 + x^8 + x^7 + x^5 + x^4 + x^2 + x + 1 (SBC-3 §4.22.4). */
function guardOf(block: Uint8Array): number {
  let crc = 0
  for (const byte of block) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x8bb7 : crc << 1) & 0xffff
  }
  return crc
}

interface Tags {
  readonly guard?: number
  readonly application?: number
  readonly reference: number
}

/** A block and its protection information; the guard is right unless it is told. */
function withTags(block: Uint8Array, { guard = guardOf(block), application = 0, reference }: Tags): Buffer {
  const protection = Buffer.alloc(PI_BYTES)
  protection.writeUInt16BE(guard, 0)
  protection.writeUInt16BE(application, 2)
  protection.writeUInt32BE(reference, 4)
  return Buffer.concat([block, protection])
}

/** READ and WRITE: of ten bytes, and for type 2, which knows no others with protection information, of 32 (SBC-3 §5.15, 5.36). */
function cdb(disk: ProtectedDisk, write: boolean, protect: number, lba: number, blocks: number): string {
  if (disk.type !== 2) {
    const short = Buffer.from([write ? 0x2a : 0x28, protect << 5, 0, 0, 0, 0, 0, 0, 0, 0])
    short.writeUInt32BE(lba, 2)
    short.writeUInt16BE(blocks, 7)
    return hex(short)
  }
  const long = Buffer.alloc(32)
  long.set([0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, write ? 0x0b : 0x09, protect << 5])
  long.writeBigUInt64BE(BigInt(lba), 12)
  long.writeUInt32BE(lba, 20) // EXPECTED INITIAL LOGICAL BLOCK REFERENCE TAG
  long.writeUInt16BE(0xa1b2, 24) // EXPECTED LOGICAL BLOCK APPLICATION TAG
  long.writeUInt16BE(0xff00, 26) // and its mask
  long.writeUInt32BE(blocks, 28)
  return hex(long)
}
const hex = (bytes: Buffer): string => bytes.toString("hex").replaceAll(/..(?=.)/g, "$& ")

for (const disk of disks) {
  const { lun, type, blockBytes } = disk
  const slotBytes = blockBytes + PI_BYTES

  describe(`type ${type} with blocks of ${blockBytes} bytes`, () => {
    let node = ""
    before(async () => {
      node = await kernel.disk(iqn, lun)
    })

    const readWithTags = async (lba: number, blocks: number): Promise<Buffer> => {
      const command = `sg_raw -b -r ${blocks * slotBytes} ${node} ${cdb(disk, false, RDPROTECT.unchecked, lba, blocks)}`
      return Buffer.from(await sh(`${command} 2> /tmp/err | base64 -w0`), "base64")
    }
    /** What the tool says of it; "" when it is done. */
    const writeWithTags = async (lba: number, bytes: Uint8Array): Promise<string> => {
      await kernel.guest.write("/tmp/blocks", bytes)
      const command = `sg_raw -s ${bytes.length} -i /tmp/blocks ${node} ${cdb(disk, true, RDPROTECT.checked, lba, bytes.length / slotBytes)}`
      const { code, stdout, stderr } = await kernel.guest.run(command)
      assert.equal(code === 0, /SCSI Status: Good/.test(stderr + stdout), stdout + stderr)
      return code === 0 ? "" : stdout + stderr
    }
    const readByKernel = (lba: number, blocks: number): string =>
      `dd if=${node} bs=${blockBytes} skip=${lba} count=${blocks} iflag=direct status=none`

    test("the kernel knows of it, and that it can't take part itself", async () => {
      const attributes = ["protection_type", "protection_mode", "app_tag_own"]
      const path = `/sys/block/${node.slice(5)}/device/scsi_disk/*`
      assert.deepEqual((await sh(`cd ${path} && cat ${attributes.join(" ")}`)).split("\n"), [
        String(type),
        "none",
        "0",
      ])
      assert.equal(await sh("cat /sys/class/iscsi_host/host*/device/scsi_host/host*/prot_capabilities"), "0")
      assert.equal(await sh(`blockdev --getss ${node}`), String(blockBytes))
    })

    test("a file system, and what fio has written, verified", async () => {
      await sh(
        `mkfs.ext4 -q ${node} && mount ${node} /mnt && head -c 6M /dev/urandom > /mnt/f && sha256sum /mnt/f > /tmp/sum && umount /mnt`,
      )
      await sh(
        `fsck.ext4 -fn ${node} && mount ${node} /mnt && sha256sum -c /tmp/sum; code=$?; umount /mnt; exit $code`,
      )
      await sh(
        `fio --name=v --filename=${node} --rw=randwrite --bs=4k --size=4M --direct=1 --iodepth=16 --ioengine=libaio --verify=crc32c --do_verify=1`,
      )
    })

    test("blocks that came without it have it: guards over the data, application tag 0, reference tags by type", async () => {
      const read = await readWithTags(16, 8)
      const plain = Buffer.from(await sh(`${readByKernel(16, 8)} | base64 -w0`), "base64")
      assert.equal(read.length, 8 * slotBytes)
      for (let i = 0; i < 8; i++) {
        const slot = read.subarray(i * slotBytes, (i + 1) * slotBytes)
        const block = plain.subarray(i * blockBytes, (i + 1) * blockBytes)
        const reference = type === 3 ? 0xffff_ffff : 16 + i
        const application = slot.readUInt16BE(blockBytes + 2)
        assert.deepEqual(slot, withTags(block, { application, reference }), `block ${16 + i}`)
      }
    })

    test("blocks with it are written as they are, if it is right", async () => {
      const blocks = [0, 1].map((i) => Buffer.alloc(blockBytes, 0x40 + i))
      const slots = Buffer.concat(
        blocks.map((block, i) => withTags(block, { application: 0xa142, reference: 40 + i })),
      )
      assert.equal(await writeWithTags(40, slots), "")
      assert.deepEqual(await readWithTags(40, 2), slots)
      const plain = Buffer.from(await sh(`${readByKernel(40, 2)} | base64 -w0`), "base64")
      assert.deepEqual(plain, Buffer.concat(blocks))
    })

    /** ATO of the control mode page: application tags are the initiators', and are checked. */
    const ownApplicationTags = async (own: boolean): Promise<void> => {
      const bit = own ? "80" : "0"
      await sh(
        `sg_wr_mode --page=0xa --contents=a,a,0,0,0,${bit},0,0,0,0,0,0 --mask=0,0,0,0,0,80,0,0,0,0,0,0 ${node}`,
      )
      await sh(`echo 1 > /sys/block/${node.slice(5)}/device/rescan`)
      // Once it was set, the kernel doesn't look whether it is no more (sd_read_app_tag_own).
      assert.equal(await sh(`cat /sys/block/${node.slice(5)}/device/scsi_disk/*/app_tag_own`), "1")
    }

    test("what is wrong is refused, and nothing is written", async () => {
      await ownApplicationTags(true)
      const block = Buffer.alloc(blockBytes, 0x77)
      const right = { application: 0xa100, reference: 40 }
      const cases: readonly (readonly [Tags, RegExp | undefined])[] = [
        [{ ...right, guard: guardOf(block) ^ 1 }, /Aborted Command[^]*Logical block guard check failed/i],
        [
          { ...right, reference: 41 },
          type === 3 ? undefined : /Aborted Command[^]*Logical block reference tag check failed/i,
        ],
        [
          { ...right, application: 0xb100 },
          type === 2 ? /Aborted Command[^]*Logical block application tag check failed/i : undefined,
        ],
      ]
      for (const [tags, says] of cases) {
        const before = await readWithTags(40, 1)
        const slot = withTags(block, tags)
        const said = await writeWithTags(40, slot)
        if (says) assert.match(said, says)
        else assert.equal(said, "")
        assert.deepEqual(await readWithTags(40, 1), says ? before : slot)
      }
      await ownApplicationTags(false)
    })

    test("bit rot in the image is found: EILSEQ for the kernel's reader, until it is written again", async () => {
      await sh(
        `head -c ${4 * blockBytes} /dev/urandom | dd of=${node} bs=${blockBytes} seek=48 oflag=direct status=none && sync`,
      )
      const slot = blockBytes + BESIDE_BYTES
      const fd = openSync(image(disk), "r+")
      const byte = Buffer.alloc(1)
      readSync(fd, byte, 0, 1, HEADER_BYTES + 50 * slot + 100)
      writeSync(fd, Buffer.from([byte[0]! ^ 0x10]), 0, 1, HEADER_BYTES + 50 * slot + 100)
      closeSync(fd)
      await sh(readByKernel(48, 2) + " > /dev/null")
      const { code, stderr } = await kernel.guest.run(`dmesg -C; ${readByKernel(48, 4)} > /dev/null`)
      assert.notEqual(code, 0)
      assert.match(stderr, /Invalid or incomplete multibyte or wide character/) // EILSEQ, of BLK_STS_PROTECTION
      assert.match(
        await sh("dmesg"),
        /Sense Key : Aborted Command[^]*Add\. Sense: Logical block guard check failed/,
      )
      await sh(`dd if=/dev/zero of=${node} bs=${blockBytes} seek=50 count=1 oflag=direct status=none`)
      await sh(readByKernel(48, 4) + " > /dev/null")
    })

    test("VERIFY checks the medium", async () => {
      await sh(`sg_verify --vrprotect=0 --count=64 --lba=0 ${node}`)
    })
  })
}

test("ddpt takes blocks with their protection information from one disk to a file and to another disk", async () => {
  const [from, to] = [await kernel.disk(iqn, 0), await kernel.disk(iqn, 2)]
  await sh(`head -c 64k /dev/urandom | dd of=${from} bs=64k oflag=direct status=none`)
  await sh(`ddpt if=${from} iflag=pt of=/tmp/with-pi bs=512 count=128 protect=3 status=noxfer`)
  assert.equal(await sh("stat -c %s /tmp/with-pi"), String(128 * 520))
  await sh(`ddpt if=${from} iflag=pt of=${to} oflag=pt bs=512 count=128 protect=3,1 status=noxfer`)
  await sh(`cmp -n 65536 ${from} ${to}`)
})
