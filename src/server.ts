import { join } from "node:path"
import { type BlockDevice, noMedium } from "./backstore/index.ts"
import type { Network } from "./base/byte-stream.ts"
import type { Clock } from "./base/clock.ts"
import type { Log, LogFields } from "./base/log.ts"
import type { Random } from "./base/random.ts"
import type { ServedPortal, ServedUnit, ServerStatus } from "./control/api/index.ts"
import { changesBetween, withChange } from "./control/config/changes.ts"
import { byAccess, isIn } from "./control/config/reach.ts"
import type { Configuration, LogicalUnitConfiguration, TargetConfiguration } from "./control/config/schema.ts"
import { configurationWarnings } from "./control/config/warnings.ts"
import { identitySubject, openUnitDevice } from "./control/devices.ts"
import { logicalUnitOf } from "./control/logical-unit.ts"
import { type IdentityClaim, IdentityStore } from "./control/identity/identity-store.ts"
import { type Changeable, carryOut, messageOf, refreshSize } from "./control/reconfiguration.ts"
import { ReservationFile } from "./control/reservations/reservation-file.ts"
import { openUnitState, type UnitState } from "./control/identity/unit-state.ts"
import { formatHostPort } from "./discovery/index.ts"
import { targetKeyPreferences } from "./iscsi/login/keys.ts"
import type { DiskUnit } from "./scsi/sbc/disk-unit.ts"
import { iserFor } from "./iser.ts"
import { NetworkEntity } from "./target/network-entity.ts"
import type { Portal } from "./target/portal.ts"
import { Target } from "./target/target.ts"

/** What a server gets from outside, so that a whole one can run in virtual time. */
export interface ServerSurroundings {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Where identities are kept. */
  readonly stateFolder: string
}

export interface Server extends ServerStatus {
  /**
   * Goes over to another configuration as far as that can be done while initiators are logged in: media, sizes that grow, access
   * states, new units. What can't be done, and what waits for a restart, is logged. Never rejects.
   */
  reconfigure(wanted: Configuration): Promise<void>
  /** Asks initiators to log out, ends their sessions, flushes and closes the devices. */
  close(): Promise<void>
}

/**
 * Opens the devices of a configuration and serves them; resolves when every portal accepts logins. Rejects with a
 * SanletError and leaves nothing open: StoreOpenError, ERR_IDENTITY_…, NetworkError and what Target says of its options.
 */
export async function startServer(configuration: Configuration, around: ServerSurroundings): Promise<Server> {
  const composition = new Composition(configuration, around)
  try {
    await composition.start()
  } catch (error) {
    await composition.close().catch(() => {})
    throw error
  }
  return composition
}

/** What a unit was made of; it is taken apart in the opposite order. */
interface Unit {
  readonly target: TargetConfiguration
  readonly configuration: LogicalUnitConfiguration
  readonly claim: IdentityClaim
  readonly state: UnitState
  readonly unit: DiskUnit
}

class Composition implements Server {
  /** As far as it is served. */
  #configuration: Configuration
  readonly #around: ServerSurroundings
  readonly #entity: NetworkEntity
  readonly #identities: IdentityStore
  readonly #units: Unit[] = []
  readonly #targets = new Map<string, Target>()
  readonly #portals: Portal[] = []
  #reconfigured: Promise<void> = Promise.resolve()
  #closed: Promise<void> | undefined

  constructor(configuration: Configuration, around: ServerSurroundings) {
    const auth = configuration.discovery?.chap
    this.#configuration = configuration
    this.#around = around
    this.#identities = new IdentityStore(join(around.stateFolder, "identities"), around)
    this.#entity = new NetworkEntity({
      ...around,
      iser: iserFor(around),
      ...(auth && { discoveryAuth: auth }),
    })
  }

  async start(): Promise<void> {
    for (const warning of configurationWarnings(this.#configuration)) this.#around.log.warn({}, warning)
    for (const target of this.#configuration.targets) await this.#addTarget(target)
    for (const { listen, group, iser = true } of this.#configuration.portals) {
      this.#portals.push(await this.#entity.listen({ ...listen, portalGroupTag: group, iser }))
    }
    for (const { url, device, serial, naa } of this.units)
      this.#around.log.info({ url, device, serial, naa }, "serving")
  }

  get units(): ServedUnit[] {
    return this.#units.map((unit) => this.#served(unit))
  }

  get portals(): ServedPortal[] {
    return this.#portals.map((portal) => ({
      address: portal.address,
      group: portal.portalGroupTag,
      transports: portal.transports,
    }))
  }

  reconfigure(wanted: Configuration): Promise<void> {
    this.#reconfigured = this.#reconfigured.then(() => this.#reconfigure(wanted))
    return this.#reconfigured
  }

  close(): Promise<void> {
    this.#closed ??= this.#reconfigured.then(() => this.#close())
    return this.#closed
  }

  async #reconfigure(wanted: Configuration): Promise<void> {
    const { log } = this.#around
    for (const { target, configuration, unit } of this.#units) {
      const of = { target: target.name, lun: configuration.lun }
      await this.#tell(of, "its size isn't known any more", refreshSize(unit))
    }
    for (const change of changesBetween(this.#configuration, wanted)) {
      if (this.#closed !== undefined) return
      if (change.kind === "restart") {
        log.warn({ target: change.target }, `only a restart changes this: ${change.what}`)
        continue
      }
      const of = { target: change.target, ...("unit" in change && { lun: change.unit.lun }) }
      const done = await this.#tell(of, "not changed", carryOut(change, this.#changeable))
      if (done) this.#configuration = withChange(this.#configuration, change)
    }
  }

  /** Logs what came out of it: whether it came to its end. */
  async #tell(of: LogFields, otherwise: string, work: Promise<string | undefined>): Promise<boolean> {
    const { log } = this.#around
    try {
      const told = await work
      if (told !== undefined) log.info(of, told)
      return true
    } catch (error) {
      log.error(of, `${otherwise}: ${messageOf(error)}`)
      return false
    }
  }

  get #changeable(): Changeable {
    return {
      around: this.#around,
      target: (name) => this.#targets.get(name)!,
      unit: (name, lun) => this.#targets.get(name)!.logicalUnits.get(lun)!,
      addUnit: async (name, lun) => {
        const configuration = this.#configuration.targets.find((target) => target.name === name)!
        const { unit } = await this.#openUnit(configuration, lun)
        this.#targets.get(name)!.addLogicalUnit(lun.lun, unit)
      },
    }
  }

  async #addTarget(configuration: TargetConfiguration): Promise<void> {
    const { name, alias, chap, access, alua, portalGroups, login } = configuration
    const { clock, log } = this.#around
    const target = new Target({
      name,
      clock,
      log,
      ...(alias !== undefined && { alias }),
      ...(chap && { auth: chap }),
      ...(access && { access }),
      ...(portalGroups && { portalGroups }),
      ...(alua && { alua }),
      ...(login && { keys: { ...targetKeyPreferences, ...login } }),
    })
    for (const lun of configuration.luns) {
      const { unit } = await this.#openUnit(configuration, lun)
      target.addLogicalUnit(lun.lun, unit)
    }
    this.#entity.addTarget(target)
    this.#targets.set(name, target)
  }

  async #openUnit(
    target: TargetConfiguration,
    configuration: LogicalUnitConfiguration,
  ): Promise<Pick<Unit, "unit">> {
    const { serial, naa, device: medium } = configuration
    const device = await openUnitDevice(configuration, this.#around)
    try {
      const subject = await identitySubject(medium, `${target.name}/${configuration.lun}`)
      const wanted = { ...(serial !== undefined && { serial }), ...(naa !== undefined && { naa }) }
      const claim = await this.#identities.claim(subject, wanted)
      const opened = await this.#makeUnit(configuration, device, claim)
      this.#units.push({ target, configuration, claim, ...opened })
      return opened
    } catch (error) {
      await device.close()
      throw error
    }
  }

  async #makeUnit(
    configuration: LogicalUnitConfiguration,
    device: BlockDevice,
    claim: IdentityClaim,
  ): Promise<Pick<Unit, "state" | "unit">> {
    const { stateFolder, log, clock, random } = this.#around
    let state: UnitState | undefined
    try {
      const reservationStore = await ReservationFile.open(join(stateFolder, "reservations"), claim.naa, log)
      state = await openUnitState(join(stateFolder, "units"), claim, device, log)
      const medium = device === noMedium ? undefined : device
      // It tells of what it takes up again before it is part of a target.
      const around = { identity: claim, reservationStore, state, clock, random, log }
      return { state, unit: logicalUnitOf(configuration, medium, around) }
    } catch (error) {
      await state?.close()
      await claim.release()
      throw error
    }
  }

  #served({ target, configuration, claim, unit }: Unit): ServedUnit {
    const { device } = unit
    const better = byAccess(target)
    const [portal] = this.#portals
      .filter(({ portalGroupTag }) => isIn(target, portalGroupTag))
      .sort((a, b) => better(a.portalGroupTag, b.portalGroupTag))
    const address = portal ? reachable(portal.endpoint) : ""
    return {
      url: `iscsi://${address}/${target.name}/${configuration.lun}`,
      target: target.name,
      lun: configuration.lun,
      type: configuration.type ?? "disk",
      device: device.name,
      sizeBytes: device.sizeBytes,
      blockBytes: unit.blockBytes,
      readOnly: unit.writeProtected,
      serial: claim.serial,
      naa: claim.naa,
      authenticated: target.chap !== undefined,
    }
  }

  /** A device that fails to close doesn't keep the others from it. Rejects with the first failure. */
  async #close(): Promise<void> {
    const failures: unknown[] = []
    const attempt = (work: Promise<void>) => work.catch((error: unknown) => failures.push(error))
    await attempt(this.#entity.close())
    for (const { unit } of this.#units) unit.release()
    for (const { unit, claim, state } of this.#units) {
      await attempt(unit.device.close())
      await attempt(state.close())
      await attempt(claim.release())
    }
    if (failures.length > 0) throw failures[0]
  }
}

/** A portal on every address is reached on this machine's own. */
function reachable({ address, port }: { address: string; port: number }): string {
  const own = address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address
  return formatHostPort({ host: own, port })
}
