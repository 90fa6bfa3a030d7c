/** XTS-AES-256 against the vectors of IEEE 1619, and against Node's own. */
import assert from "node:assert/strict"
import { createCipheriv } from "node:crypto"
import { describe, test } from "node:test"
import { UNIT_BYTES, XtsCipher } from "../../../../src/backstore/encryption/xts.ts"
import { pattern, same } from "../../../suites/block-device.ts"

const hex = (digits: string): Buffer => Buffer.from(digits.replace(/\s/g, ""), "hex")

/** IEEE 1619-2018 annex B, vectors 10 and 14: 512 bytes of 00h to FFh, twice. */
const key = hex(`
    2718281828459045235360287471352662497757247093699959574966967627
    3141592653589793238462643383279502884197169399375105820974944592`)
const plain = Uint8Array.from({ length: UNIT_BYTES }, (_, i) => i)
const vectors: [number: number, encrypted: Buffer][] = [
  [
    0xff,
    hex(`
    1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b5d31e276f8fe4a8d66b317f9ac683f44
    680a86ac35adfc3345befecb4bb188fd5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0
    c5cd4d5fff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca2a3e7a7d7df7b10355165c8b9a6d0a7d
    e8b062c4500dc4cd120c0f7418dae3d0b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f
    93ec05c52e0493ef31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec583e9645e07b8d9670655ba5bbcfecc6
    dc3966380ad8fecb17b6ba02469a020a84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1
    505eb309326d68378f8374595c849d84f4c333ec4423885143cb47bd71c5edae9be69a2ffeceb1bec9de244fbe15992b
    11b77c040f12bd8f6a975a44a0f90c29a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac
    6e333b93eb4aff0479da9a410e4450e0dd7ae4c6e2910900575da401fc07059f645e8b7e9bfdef33943054ff84011493
    c27b3429eaedb4ed5376441a77ed43851ad77f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa
    773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151`),
  ],
  [
    0xff_ffff_ffff,
    hex(`
    64497e5a831e4a932c09be3e5393376daa599548b816031d224bbf50a818ed2350eae7e96087c8a0db51ad290bd00c1a
    c1620857635bf246c176ab463be30b808da548081ac847b158e1264be25bb0910bbc92647108089415d45fab1b3d2604
    e8a8eff1ae4020cfa39936b66827b23f371b92200be90251e6d73c5f86de5fd4a950781933d79a28272b782a2ec313ef
    dfcc0628f43d744c2dc2ff3dcb66999b50c7ca895b0c64791eeaa5f29499fb1c026f84ce5b5c72ba1083cddb5ce45434
    631665c333b60b11593fb253c5179a2c8db813782a004856a1653011e93fb6d876c18366dd8683f53412c0c180f9c848
    592d593f8609ca736317d356e13e2bff3a9f59cd9aeb19cd482593d8c46128bb32423b37a9adfb482b99453fbe25a41b
    f6feb4aa0bef5ed24bf73c762978025482c13115e4015aac992e5613a3b5c2f685b84795cb6e9b2656d8c88157e52c42
    f978d8634c43d06fea928f2822e465aa6576e9bf419384506cc3ce3c54ac1a6f67dc66f3b30191e698380bc999b05abc
    e19dc0c6dcc2dd001ec535ba18deb2df1a101023108318c75dc98611a09dc48a0acdec676fabdf222f07e026f059b672
    b56e5cbc8e1d21bbd867dd927212054681d70ea737134cdfce93b6f82ae22423274e58a0821cc5502e2d0ab4585e94de
    6975be5e0b4efce51cd3e70c25a1fbbbd609d273ad5b0d59631c531f6a0a57b9`),
  ],
]

describe("XTS-AES-256", () => {
  test("makes of the vectors of IEEE 1619 what it has to, and takes it back", () => {
    const cipher = new XtsCipher(key)
    for (const [number, encrypted] of vectors) {
      const found = cipher.encrypt(number, plain)
      same(found, encrypted)
      cipher.decrypt(number, found)
      same(found, plain)
    }
  })

  test("agrees with Node's, unit by unit, at any length, place in memory and number", () => {
    const other = pattern(64, 5)
    const cipher = new XtsCipher(other)
    for (const units of [0, 1, 2, 127, 128, 129, 300]) {
      for (const first of [0, 1, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 39]) {
        const bytes = pattern(units * UNIT_BYTES + 3, units).subarray(3)
        const found = cipher.encrypt(first, bytes)
        const wanted = Array.from({ length: units }, (_, i) => {
          const tweak = Buffer.alloc(16)
          tweak.writeBigUInt64LE(BigInt(first + i))
          const unit = bytes.subarray(i * UNIT_BYTES, (i + 1) * UNIT_BYTES)
          return createCipheriv("aes-256-xts", other, tweak).update(unit)
        })
        same(found, Buffer.concat(wanted))
        const memory = new Uint8Array(found.length + 5)
        memory.set(found, 5)
        cipher.decrypt(first, memory.subarray(5))
        same(memory.subarray(5), bytes)
        assert.ok(memory.subarray(0, 5).every((byte) => byte === 0))
      }
    }
  })

  test("leaves units of zeroes as they are, wherever they lie, and no others", () => {
    const cipher = new XtsCipher(key)
    const content = pattern(9 * UNIT_BYTES, 1)
    const stored = cipher.encrypt(7, content)
    for (const unit of [0, 3, 4, 8]) {
      content.fill(0, unit * UNIT_BYTES, (unit + 1) * UNIT_BYTES)
      stored.fill(0, unit * UNIT_BYTES, (unit + 1) * UNIT_BYTES)
    }
    cipher.decrypt(7, stored)
    same(stored, content)
    // Zeroes that somebody wrote are encrypted as anything else is.
    const zeroes = new Uint8Array(UNIT_BYTES)
    const sealed = cipher.encrypt(7, zeroes)
    assert.ok(sealed.filter((byte) => byte !== 0).length > 400)
    cipher.decrypt(7, sealed)
    same(sealed, zeroes)
  })
})
