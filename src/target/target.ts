import type { BlockDevice } from "../backstore/block-device.ts"
import { type Clock, systemClock } from "../base/clock.ts"
import { SanletError } from "../base/errors.ts"
import { LUNS_MAX } from "../base/limits.ts"
import { type Log, silentLog } from "../base/log.ts"
import type { ChapAcceptance } from "../iscsi/login/chap.ts"
import type { KeyPreferences } from "../iscsi/login/keys.ts"
import { sendScsiEvent } from "../iscsi/session/async-messages.ts"
import type { SessionEnd, TargetSession } from "../iscsi/session/target-session.ts"
import { ScsiTarget } from "../scsi/sam/scsi-target.ts"
import type { TargetPort } from "../scsi/sam/nexus.ts"
import { DiskUnit, type DiskUnitOptions } from "../scsi/sbc/disk-unit.ts"
import type { LastingAccessState } from "../scsi/spec/access-state.ts"
import { Asc, encodeSense, SenseKey } from "../scsi/spec/sense.ts"
import { parseIscsiName } from "../wire/text.ts"
import { AccessList, type AccessOptions } from "./access.ts"
import { type AluaGroupInfo, type AluaOptions, portGroupsOf, reachedThrough } from "./alua.ts"
import { NetworkEntity, type NetworkEntityOptions, type PortalOptions } from "./network-entity.ts"
import type { Portal } from "./portal.ts"
import { targetPort } from "./scsi-port.ts"

export interface TargetOptions {
  /** iSCSI name: iqn., eui. or naa. (RFC 7143 §4.2.7). */
  readonly name: string
  readonly alias?: string
  /** Absent: no authentication. */
  readonly auth?: ChapAcceptance
  readonly access?: AccessOptions
  /** Portal group tags it is reached through. Absent: all, or those in target port groups. */
  readonly portalGroups?: readonly number[]
  /**
   * Its portal groups in target port groups, where not all of them are to have the same access state. Those in none don't
   * reach it. Absent: one group of all, active/optimized.
   */
  readonly alua?: AluaOptions
  /** What its logins are negotiated with. */
  readonly keys?: Partial<KeyPreferences>
  readonly clock?: Clock
  readonly log?: Log
}

/** A session, for people. */
export interface SessionInfo {
  readonly initiatorName: string
  readonly address: string
  readonly tsih: number
  readonly isid: number
  readonly transport: "tcp" | "iser"
}

/**
 * A target node: a SCSI target device and who may use it.
 *
 *     const target = new Target({ name: "iqn.2026-01.org.example:disk0" })
 *     target.addLogicalUnit(0, await FileStore.open("disk.img", { sizeBytes: 10 * GiB, create: true }))
 *     await target.listen({ host: "127.0.0.1", port: 3260 })
 */
export class Target {
  readonly name: string
  readonly options: TargetOptions
  readonly access: AccessList
  readonly scsi: ScsiTarget
  readonly #sessions = new Set<TargetSession>()
  readonly #portalGroups: ReadonlySet<number> | undefined
  #entity: NetworkEntity | undefined
  /** The portal group tags there are; known once it belongs to a network entity. */
  #tags: () => readonly number[] = () => []

  /** Throws SanletError ERR_ISCSI_NAME, ERR_ACCESS_ADDRESS, ERR_TARGET_PORT_GROUP. */
  constructor(options: TargetOptions) {
    const name = parseIscsiName(options.name)
    if (name === undefined) {
      throw new SanletError(
        "ERR_ISCSI_NAME",
        `"${options.name}" is no iSCSI name: use iqn.YYYY-MM.reversed.domain:any, eui.<16 hex digits> or naa.<16 or 32>`,
      )
    }
    this.name = name
    this.options = options
    this.access = new AccessList(options.access)
    const { alua, clock = systemClock, log = silentLog } = options
    this.#portalGroups = reachedThrough(options.portalGroups, alua)
    this.scsi = new ScsiTarget({
      clock,
      log,
      ...(alua && { portGroups: portGroupsOf(alua) }),
      targetPorts: () => this.#ports(),
    })
    this.scsi.onInventoryChange(() => this.#announceInventory())
    this.scsi.portGroups.onChange(() => this.#accessChanged(log))
  }

  get logicalUnits(): ReadonlyMap<number, DiskUnit> {
    return this.scsi.logicalUnits as ReadonlyMap<number, DiskUnit>
  }

  /**
   * Makes `device` logical unit `lun` (0 to LUNS_MAX - 1), also while initiators are logged in. The device stays the
   * caller's to close. Throws SanletError ERR_LUN.
   */
  addLogicalUnit(lun: number, device: BlockDevice | DiskUnit, options: DiskUnitOptions = {}): DiskUnit {
    if (!Number.isInteger(lun) || lun < 0 || lun >= LUNS_MAX) {
      throw new SanletError("ERR_LUN", `LUN ${lun} is not a whole number from 0 to ${LUNS_MAX - 1}`)
    }
    const { clock } = this.options
    const unit =
      device instanceof DiskUnit ? device : new DiskUnit(device, { ...(clock && { clock }), ...options })
    this.scsi.addLogicalUnit(lun, unit)
    return unit
  }

  /** Takes it away: its tasks are aborted, initiators are told. Resolves when its device is no longer used. */
  removeLogicalUnit(lun: number): Promise<void> {
    return this.scsi.removeLogicalUnit(lun)
  }

  /** Its target port groups, and the asymmetric access state of each (SPC-4 §5.16). */
  targetPortGroups(): AluaGroupInfo[] {
    return this.scsi.portGroups.groups.map(({ id, ports, state, preferred }) => {
      return { id, portalGroups: ports, state, preferred }
    })
  }

  /**
   * Changes the access state of a target port group: an implicit change, of which initiators are told. Commands under way
   * go on. With `work`, which moves whatever has to be moved, the group is transitioning until it's done; when it fails
   * the group is what it was, and the promise rejects with the failure. Through an offline group nobody logs in, and its
   * sessions end. Rejects with SanletError ERR_TARGET_PORT_GROUP: no such group, or it is changing already.
   */
  async setAccessState(group: number, state: LastingAccessState, work?: () => Promise<void>): Promise<void> {
    const { portGroups } = this.scsi
    if (work) await portGroups.transition(group, state, work)
    else portGroups.set(group, state)
  }

  /** A portal of the target's own: for one target in one process. Others share a NetworkEntity. */
  listen(at: PortalOptions, options: NetworkEntityOptions = {}): Promise<Portal> {
    if (!this.#entity) {
      const { clock, log } = this.options
      this.#entity = new NetworkEntity({ ...(clock && { clock }), ...(log && { log }), ...options })
      this.#entity.addTarget(this)
    }
    return this.#entity.listen(at)
  }

  /** Logs every initiator out and closes the portals made by `listen`. */
  async close(): Promise<void> {
    await this.#entity?.close()
  }

  /** Whether it is reached through portals of this group. */
  isIn(portalGroupTag: number): boolean {
    return this.#portalGroups?.has(portalGroupTag) ?? true
  }

  /** Nobody gets in through portals of this group now (SPC-4 §5.16.2.4.6). */
  isOffline(portalGroupTag: number): boolean {
    return this.scsi.portGroups.ofPort(portalGroupTag)?.state === "offline"
  }

  /** It is reached through the portals of a network entity from now on. */
  joined(entity: NetworkEntity): void {
    this.#tags = () => [...entity.portals].map((portal) => portal.portalGroupTag)
  }

  /** Those of target port groups are there whether a portal listens or not: initiators are told of all of them. */
  #ports(): TargetPort[] {
    const listening = this.#tags().filter((tag) => this.isIn(tag))
    const grouped = this.options.alua ? [...(this.#portalGroups ?? [])] : []
    return [...new Set([...grouped, ...listening])].map((tag) => targetPort(this.name, tag))
  }

  sessions(): SessionInfo[] {
    return [...this.#sessions].flatMap((session) => {
      const [connection] = session.connections.values()
      if (!connection) return []
      const { initiatorName, tsih, isid } = session.identity
      const { remote, transport } = connection.datamover
      return [{ initiatorName, tsih, isid, transport, address: `${remote.address}:${remote.port}` }]
    })
  }

  sessionOpened(session: TargetSession): void {
    this.#sessions.add(session)
  }

  sessionEnded(session: TargetSession): void {
    this.#sessions.delete(session)
  }

  /** Ends every session once what it was sent is through. */
  endSessions(why: SessionEnd): void {
    for (const session of this.#sessions) {
      for (const connection of [...session.connections.values()]) connection.close(why)
    }
  }

  /** What came through ports that are offline now is cut off (SPC-4 §5.16.2.5). */
  #accessChanged(log: Log): void {
    const groups = this.targetPortGroups().map(({ id, state }) => `${id} ${state}`)
    log.info({ target: this.name, groups: groups.join(", ") }, "asymmetric access states have changed")
    for (const session of this.#sessions) {
      if (!this.isOffline(session.identity.portalGroupTag)) continue
      for (const connection of [...session.connections.values()]) connection.close("portal group offline")
    }
  }

  /** The unit attention comes with the next command; the Async Message comes at once (RFC 7143 §11.9.1). */
  #announceInventory(): void {
    const changed = { key: SenseKey.unitAttention, asc: Asc.reportedLunsDataHasChanged, detail: {} }
    const sense = encodeSense(changed, "fixed")
    for (const session of this.#sessions) {
      const [connection] = session.connections.values()
      if (connection) sendScsiEvent(connection, 0, 0, sense)
    }
  }
}
