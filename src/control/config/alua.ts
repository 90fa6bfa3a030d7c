import * as z from "zod"
import {
  TARGET_PORT_GROUP_MAX,
  TARGET_PORT_GROUPS_MAX,
  TARGET_PORTS_PER_GROUP_MAX,
} from "../../base/limits.ts"
import { lastingAccessStates } from "../../scsi/spec/access-state.ts"
import { onOff, section } from "./fields.ts"

/** Target port groups over the portal groups of a target (SPC-4 §5.16). */
export const alua = (portalGroup: () => z.ZodType<number>) =>
  section({
    explicit: onOff()
      .exactOptional()
      .describe("Initiators may change states (SET TARGET PORT GROUPS): on or off (default)"),
    groups: z
      .array(
        section({
          id: z
            .int()
            .min(1)
            .max(TARGET_PORT_GROUP_MAX)
            .exactOptional()
            .describe("Number of the target port group; default: its place in the list"),
          portalGroups: z
            .array(portalGroup())
            .min(1)
            .max(TARGET_PORTS_PER_GROUP_MAX)
            .describe("Portal groups that have this state"),
          state: z
            .enum(lastingAccessStates)
            .exactOptional()
            .describe("State at the start; default: active/optimized"),
          preferred: onOff()
            .exactOptional()
            .describe("Initiators should prefer it whatever its state: on or off (default)"),
        }),
      )
      .min(1)
      .max(TARGET_PORT_GROUPS_MAX),
  })
