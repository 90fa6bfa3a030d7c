import * as z from "zod"
import { alua } from "./alua.ts"
import { chap } from "./chap.ts"
import { checkTogether, checkUnit } from "./checks.ts"
import type { ConfigurationContext } from "./context.ts"
import { device } from "./device.ts"
import { hostPort, iscsiName, network, onOff, section } from "./fields.ts"
import { loginKeys } from "./login-keys.ts"

const printable = (max: number) =>
  z
    .string()
    .min(1)
    .regex(new RegExp(`^[\\x20-\\x7e]{1,${max}}$`), {
      error: `expected 1 to ${max} printable ASCII characters`,
    })
    .exactOptional()

const group = () => z.int().min(1).max(65535)

function logicalUnit(at: ConfigurationContext) {
  return section({
    lun: z.int().min(0).max(16383).describe("Logical unit number"),
    type: z
      .enum(["disk", "cdrom"])
      .exactOptional()
      .describe("disk (default), or cdrom: a CD/DVD-ROM drive with an ISO image in it"),
    removable: z
      .boolean()
      .exactOptional()
      .describe("The medium can be ejected and changed; default: false, and true for cdrom"),
    device: device(at)
      .exactOptional()
      .describe("What keeps the blocks; a removable disk and a cdrom may begin without a medium"),
    serial: printable(64).describe("Unit serial number (VPD page 80h); default: made once, and remembered"),
    naa: z
      .string()
      .regex(/^(3[0-9a-f]{15}|[256][0-9a-f]{15}|6[0-9a-f]{31})$/i, {
        error: "expected 16 or 32 hex digits that begin with 2, 3, 5 or 6",
      })
      .transform((digits) => digits.toLowerCase())
      .exactOptional()
      .describe("NAA designator (VPD page 83h); default: made once, and remembered"),
    vendor: printable(8).describe("T10 vendor identification; default: sanlet"),
    product: printable(16).describe("Product identification; default: disk, or CD/DVD-ROM"),
    revision: printable(4).describe("Product revision level; default: 1"),
    blockSize: z.literal([512, 4096]).exactOptional().describe("Logical block, in bytes; default: 512"),
    physicalBlockSize: z
      .literal([512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])
      .exactOptional()
      .describe("Physical block that initiators are told to align to, in bytes; default: blockSize"),
    thin: z.boolean().exactOptional().describe("Unmapping is offered; default: where the device can do it"),
    writeSameToEnd: z
      .boolean()
      .exactOptional()
      .describe("WRITE SAME of 0 blocks goes to the end (WSNZ 0); default: false, it is refused"),
    protection: section({
      type: z
        .literal([1, 2, 3])
        .describe("Type of protection information (T10 DIF): what its reference tags are"),
    })
      .exactOptional()
      .describe("8 bytes beside each logical block, that guard it; for a new image; default: none"),
  }).superRefine(checkUnit)
}

function target(at: ConfigurationContext) {
  return section({
    name: iscsiName().describe("iSCSI name"),
    alias: z.string().min(1).max(255).exactOptional().describe("TargetAlias: a name for people"),
    portalGroups: z
      .array(group())
      .min(1)
      .exactOptional()
      .describe("Groups it is reached through; default: all"),
    alua: alua(group)
      .exactOptional()
      .describe("Portal groups with access states of their own; default: active/optimized, all of them"),
    chap: chap(at).exactOptional(),
    access: section({
      initiators: z
        .array(z.string().min(1).max(223))
        .min(1)
        .exactOptional()
        .describe("Initiator names that may log in; * and ? are wildcards"),
      allow: z.array(network()).min(1).exactOptional().describe("Addresses and networks that may connect"),
      deny: z.array(network()).min(1).exactOptional().describe("Those that may not; stronger than allow"),
    })
      .exactOptional()
      .describe("Who may use the target, and sees it; default: everyone"),
    login: loginKeys.exactOptional().describe("What logins are negotiated with"),
    luns: z.array(logicalUnit(at)).min(1),
  })
}

/** The whole configuration file. */
export function configurationSchema(at: ConfigurationContext) {
  return section({
    portals: z
      .array(
        section({
          listen: hostPort().describe("HOST:PORT; [::]:3260 is every address"),
          group: group().default(1).describe("Portal group tag"),
          iser: onOff().exactOptional().describe("iSER at the same port, besides TCP: on (default) or off"),
        }),
      )
      .min(1)
      .default([{ listen: { host: "127.0.0.1", port: 3260 }, group: 1 }])
      .describe("Where initiators connect; default: 127.0.0.1:3260, this machine only"),
    discovery: section({ chap: chap(at).exactOptional() })
      .exactOptional()
      .describe("Who may ask for the list of targets; default: everyone"),
    targets: z.array(target(at)).min(1),
    log: section({
      level: z.enum(["error", "warn", "info", "debug"]).exactOptional(),
      format: z
        .enum(["auto", "json", "text"])
        .exactOptional()
        .describe("auto: text on a terminal, else JSON"),
    }).default({}),
  }).superRefine(checkTogether)
}

export type Configuration = z.output<ReturnType<typeof configurationSchema>>
export type TargetConfiguration = Configuration["targets"][number]
export type LogicalUnitConfiguration = TargetConfiguration["luns"][number]
export type PortalConfiguration = Configuration["portals"][number]
