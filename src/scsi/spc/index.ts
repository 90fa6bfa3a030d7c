export { spcCommands } from "./commands.ts"
export { type DerivedNames, deriveNames } from "./identity.ts"
export { spcModePages } from "./mode-pages.ts"
export { spcVpdPages } from "./vpd.ts"
