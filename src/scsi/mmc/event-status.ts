import type { Completion } from "../../base/completion.ts"
import { putU16, u16 } from "../cdb/fields.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import type { TrayEvent } from "../sbc/tray.ts"
import type { CdUnit } from "./cd-unit.ts"

const POLLED = 0x01
/** NEA: no event class that was asked for is supported. */
const NO_EVENT_AVAILABLE = 0x80

/** Notification classes (MMC-6): those there are. */
const NotificationClass = { powerManagement: 2, media: 4, deviceBusy: 6 } as const
const CLASSES = Object.values(NotificationClass)
const SUPPORTED = CLASSES.reduce((mask, number) => mask | (1 << number), 0)

const MEDIA_EVENT: Readonly<Record<TrayEvent, number>> = { ejectRequest: 1, newMedia: 2, mediaRemoval: 3 }
const MEDIA_PRESENT = 0x02
const DOOR_OPEN = 0x01
const ACTIVE = 0x01

/**
 * GET EVENT STATUS NOTIFICATION (MMC-6), polled. Only the medium has events: an initiator that asks for several
 * classes hears of it when there is one, else of the lowest class. The length counts what follows it, as Windows reads it.
 */
export function getEventStatusNotification(task: Task, unit: CdUnit): Completion {
  const { cdb, nexus } = task
  if ((cdb[1]! & POLLED) === 0) throw invalidFieldInCdb("events are told to those who poll only", 1, 0)
  const asked = CLASSES.filter((number) => (cdb[4]! & (1 << number)) !== 0)
  const eventful = asked.includes(NotificationClass.media) && unit.mediaEvents.pending(nexus)
  const chosen = eventful ? NotificationClass.media : asked[0]
  const data = new Uint8Array(chosen === undefined ? 4 : 8)
  putU16(data, 0, data.length - 2)
  data[2] = chosen ?? NO_EVENT_AVAILABLE
  data[3] = SUPPORTED
  // An initiator that has no room for the event asks again.
  if (chosen === NotificationClass.media)
    putMedia(data, unit, u16(cdb, 7) >= 8 ? unit.mediaEvents.take(nexus) : undefined)
  if (chosen === NotificationClass.powerManagement) data[5] = ACTIVE
  return sendParameterData(task, data, u16(cdb, 7))
}

function putMedia(data: Uint8Array, { drive }: CdUnit, event: TrayEvent | undefined): void {
  data[4] = event === undefined ? 0 : MEDIA_EVENT[event]
  data[5] = (drive.loaded ? MEDIA_PRESENT : 0) | (drive.open ? DOOR_OPEN : 0)
}
