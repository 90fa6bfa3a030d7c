/**
 * Makes a Debian machine ready for every test: the packages of the programs sanlet is tested against, and the images
 * of the virtual machine. What can't be had is told here, and fails the tests that need it.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { buildImages } from "./rig/images.ts"

/** Debian packages, by what needs them. */
export const debianPackages: Readonly<Record<string, readonly string[]>> = {
  "clients and peers": ["tgt", "istgt", "libiscsi-bin", "qemu-utils", "qemu-block-extra", "tshark"],
  "discs to serve": ["genisoimage"],
  "the virtual machine": ["qemu-system-x86", "iproute2"],
  "its images": [
    "mmdebstrap",
    "debian-archive-keyring",
    "e2fsprogs",
    "busybox-static",
    "cpio",
    "gcc",
    "libc6-dev",
    "kmod",
    "xz-utils",
    "zstd",
  ],
  "its siw module": ["make", "bc", "flex", "bison", "libelf-dev"],
}

/** Installs missing packages and builds missing images. Never throws: says what is missing instead. */
export async function prepareMachine(root: string): Promise<void> {
  const missing = missingPackages()
  if (missing.length > 0) installPackages(missing)
  try {
    await buildImages((line) => console.log(line))
  } catch (error) {
    console.log(
      `no images for the virtual machine below ${root}: ${error instanceof Error ? error.message : error}`,
    )
  }
}

function missingPackages(): string[] {
  const wanted = Object.values(debianPackages).flat()
  const asked = spawnSync("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\n", ...wanted], {
    encoding: "utf8",
  })
  const installed = new Set((asked.stdout ?? "").split("\n").filter((line) => line.endsWith(" installed")))
  return wanted.filter((name) => !installed.has(`${name} installed`))
}

function installPackages(missing: readonly string[]): void {
  const why = cannotInstall()
  if (why !== undefined) {
    console.log(`missing Debian packages (${why}): ${missing.join(" ")}`)
    return
  }
  console.log(`installing Debian packages: ${missing.join(" ")}`)
  apt(["update"])
  const status = apt(["install", "--yes", "--no-install-recommends", ...missing])
  if (status !== 0) console.log(`apt-get failed; still missing: ${missingPackages().join(" ")}`)
}

/** Why packages can't be installed here, or undefined when they can. */
function cannotInstall(): string | undefined {
  if (!existsSync("/etc/debian_version")) return "not a Debian machine"
  if (process.getuid?.() !== 0) return "not root"
  return undefined
}

function apt(args: readonly string[]): number | null {
  const quiet = ["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  const done = spawnSync("apt-get", [...quiet, ...args], {
    env,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  })
  if (done.status !== 0) console.log((done.stdout ?? "") + (done.stderr ?? ""))
  return done.status
}
