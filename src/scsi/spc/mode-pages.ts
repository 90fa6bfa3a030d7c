import type { ModePage } from "../sam/mode-page.ts"

const CONTROL_BYTES = 0x0a
const EXCEPTIONS_BYTES = 0x0a

const D_SENSE = 0x04
/** GLTSD: log parameters aren't saved on their own account. There are none. */
const GLTSD = 0x02
/** QUEUE ALGORITHM MODIFIER 1: SIMPLE tasks may run in any order. */
const UNRESTRICTED_REORDERING = 0x10
const SWP = 0x08
const TAS = 0x40
const ATO = 0x80

interface ControlBits {
  readonly descriptorSense: boolean
  readonly softwareWriteProtect: boolean
  readonly taskAbortedStatus: boolean
  readonly applicationTagOwner: boolean
}

function controlBits(bits: ControlBits): Uint8Array {
  const page = new Uint8Array(CONTROL_BYTES)
  page[0] = bits.descriptorSense ? D_SENSE : 0
  page[2] = bits.softwareWriteProtect ? SWP : 0
  page[3] = (bits.taskAbortedStatus ? TAS : 0) | (bits.applicationTagOwner ? ATO : 0)
  return page
}

function control(bits: ControlBits): Uint8Array {
  const page = controlBits(bits)
  page[0]! |= GLTSD
  page[1] = UNRESTRICTED_REORDERING
  page[6] = 0xff // BUSY TIMEOUT PERIOD: without limit
  page[7] = 0xff
  return page
}

const defaultBits: ControlBits = {
  descriptorSense: false,
  softwareWriteProtect: false,
  taskAbortedStatus: false,
  applicationTagOwner: false,
}

/** Control (SPC-4 §7.5.8). */
const controlPage: ModePage = {
  code: 0x0a,
  bytes: CONTROL_BYTES,
  current: (unit) => control(unit.control),
  defaults: () => control(defaultBits),
  changeable: ({ protection }) =>
    controlBits({
      descriptorSense: true,
      softwareWriteProtect: true,
      taskAbortedStatus: true,
      applicationTagOwner: protection !== undefined,
    }),
  select: (unit, page) => {
    unit.control.descriptorSense = (page[0]! & D_SENSE) !== 0
    unit.control.softwareWriteProtect = (page[2]! & SWP) !== 0
    unit.control.taskAbortedStatus = (page[3]! & TAS) !== 0
    unit.control.applicationTagOwner = (page[3]! & ATO) !== 0
  },
}

/** DEXCPT: no informational exception is ever reported, so METHOD OF REPORTING is 0. */
const exceptions = (): Uint8Array => {
  const page = new Uint8Array(EXCEPTIONS_BYTES)
  page[0] = 0x08
  return page
}

/** Informational Exceptions Control (SPC-4 §7.5.11). */
const informationalExceptionsPage: ModePage = {
  code: 0x1c,
  bytes: EXCEPTIONS_BYTES,
  current: exceptions,
  defaults: exceptions,
}

/** The mode pages every logical unit has. A device type adds its own. */
export const spcModePages: readonly ModePage[] = [controlPage, informationalExceptionsPage]
