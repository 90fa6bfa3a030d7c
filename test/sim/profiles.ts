/** What the simulations are about, whatever moves the bytes. */
import type { Profile } from "./scenario.ts"

/** Connections, targets and the power fail. */
export const networkTrouble: Profile = {
  network: 0.8,
  damage: 0.4,
  crash: 0.3,
  restart: 0.15,
  delay: 0.4,
  fault: 0,
  abort: 0.2,
  taskManagement: 0.05,
  inventory: 0,
}

/** Devices fail, tasks are aborted and LUNs come and go. */
export const storageTrouble: Profile = {
  network: 0.15,
  damage: 0.1,
  crash: 0,
  restart: 0.05,
  delay: 0.7,
  fault: 0.5,
  abort: 0.5,
  taskManagement: 0.5,
  inventory: 0.4,
}
