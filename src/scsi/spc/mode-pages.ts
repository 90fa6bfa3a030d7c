import type { ModePage } from "../sam/mode-page.ts"
import { controlExtensionPage } from "./control-extension-page.ts"
import { controlPage } from "./control-page.ts"
import { informationalExceptionsPage } from "./exceptions-page.ts"

/** The mode pages every logical unit has. A device type adds its own. */
export const spcModePages: readonly ModePage[] = [
  controlPage,
  controlExtensionPage,
  informationalExceptionsPage,
]
