/**
 * Persistent reservations by the letter of SPC-4 §5.13, with lists that are searched: slow, obvious, and written without
 * a look at the device server.
 */
import { PersistentReserveOut } from "../../../../../src/scsi/spec/operation-code.ts"

/** An I_T nexus: which initiator port, which target port. */
export interface Id {
  readonly host: string
  readonly isid: number
  readonly port: number
}

export interface Request {
  readonly action: number
  readonly key: bigint
  readonly actionKey: bigint
  readonly scope: number
  readonly type: number
  readonly allTargetPorts: boolean
  readonly aptpl: boolean
  /** SPEC_I_PT; without isid: all ports of the host. */
  readonly ids: readonly { readonly host: string; readonly isid?: number }[] | undefined
  /** REGISTER AND MOVE. */
  readonly moveTo: Id
  readonly unregister: boolean
}

interface Registered {
  readonly id: Id
  key: bigint
}

const TYPES = [1, 3, 5, 6, 7, 8]
const INVALID_LIST = "5/2600"
const INVALID_CDB = "5/2400"
const INVALID_RELEASE = "5/2604"
const PREEMPTED = 0x2a03
const RELEASED = 0x2a04
const REGISTRATIONS_PREEMPTED = 0x2a05

const same = (a: Id, b: Id): boolean => a.host === b.host && a.isid === b.isid && a.port === b.port
export const nameOf = ({ host, isid, port }: Id): string => `${host}.${isid}>${port}`

export class Model {
  registered: Registered[] = []
  reserved: { type: number; by: Id } | undefined
  generation = 0
  aptpl = false
  /** The RESERVE of SPC-2. */
  spc2: Id | undefined
  /** Who is logged in, and what it is told. */
  readonly present: { id: Id; told: number[] }[] = []
  readonly targetPorts: readonly number[]

  constructor(targetPorts: readonly number[]) {
    this.targetPorts = targetPorts
  }

  of(id: Id): Registered | undefined {
    return this.registered.find((each) => same(each.id, id))
  }

  holds(id: Id): boolean {
    if (this.reserved === undefined) return false
    if (this.reserved.type >= 7) return this.of(id) !== undefined
    return same(this.reserved.by, id)
  }

  #tell(id: Id, code: number): void {
    const told = this.present.find((each) => same(each.id, id))?.told
    if (told && !told.includes(code)) told.push(code)
  }

  #tellAllBut(id: Id, code: number): void {
    for (const each of this.registered) if (!same(each.id, id)) this.#tell(each.id, code)
  }

  /** Whether a command that reads, or writes, is let in. */
  allows(id: Id, what: "r" | "w"): boolean {
    if (this.spc2 !== undefined) return same(this.spc2, id)
    if (this.reserved === undefined || this.holds(id)) return true
    const { type } = this.reserved
    if (type >= 5 && this.of(id) !== undefined) return true
    return what === "r" && (type === 1 || type === 5 || type === 7)
  }

  reserve6(id: Id): string {
    const compatible = this.#compatible(id)
    if (compatible !== undefined) return compatible
    if (this.spc2 !== undefined && !same(this.spc2, id)) return "conflict"
    this.spc2 = id
    return "good"
  }

  release6(id: Id): string {
    const compatible = this.#compatible(id)
    if (compatible !== undefined) return compatible
    if (this.spc2 !== undefined && same(this.spc2, id)) this.spc2 = undefined
    return "good"
  }

  #compatible(id: Id): string | undefined {
    if (this.registered.length === 0) return undefined
    const registrants = this.reserved !== undefined && this.reserved.type >= 5
    return this.holds(id) || (registrants && this.of(id) !== undefined) ? "good" : "conflict"
  }

  powerLoss(): void {
    this.spc2 = undefined
    this.generation = 0
    if (this.aptpl) return
    this.registered = []
    this.reserved = undefined
  }

  out(id: Id, request: Request): string {
    const { action, key } = request
    const A = PersistentReserveOut
    if (this.spc2 !== undefined) return "conflict"
    const mine = this.of(id)
    // Table 66
    if (this.reserved !== undefined && !this.holds(id)) {
      if (action === A.registerAndMove || action === A.reserve) return "conflict"
      if (mine === undefined && action !== A.register && action !== A.registerAndIgnoreExistingKey)
        return "conflict"
    }
    if (action === A.replaceLostReservation) return INVALID_RELEASE
    if (action === A.register) return this.#register(id, request, key)
    if (action === A.registerAndIgnoreExistingKey) {
      return request.ids === undefined ? this.#register(id, request, undefined) : INVALID_LIST
    }
    if (mine === undefined || mine.key !== key) return "conflict"
    if (action === A.registerAndMove) return this.#move(id, request)
    if (request.ids !== undefined) return INVALID_LIST
    if (action === A.clear) return this.#clear(id)
    if (request.scope !== 0) return INVALID_CDB
    if (action === A.reserve) return this.#reserve(id, request)
    if (action === A.release) return this.#release(id, request)
    return this.#preempt(id, request)
  }

  /** `key` undefined: whatever it is. */
  #register(id: Id, { actionKey, allTargetPorts, aptpl, ids }: Request, key: bigint | undefined): string {
    const mine = this.of(id)
    if (key !== undefined && key !== (mine?.key ?? 0n)) return "conflict"
    if (mine !== undefined && ids !== undefined) return INVALID_LIST
    if (mine === undefined && actionKey === 0n) return "good"
    const ports = allTargetPorts ? this.targetPorts : [id.port]
    const more: Id[] = []
    for (const wanted of ids ?? []) {
      const known = [...this.present, ...this.registered].filter((each) => each.id.host === wanted.host)
      const isids = wanted.isid === undefined ? known.map((each) => each.id.isid) : [wanted.isid]
      if (isids.length === 0) return INVALID_LIST
      for (const isid of isids) for (const port of ports) more.push({ host: wanted.host, isid, port })
    }
    if (more.some((each) => this.of(each) !== undefined)) return INVALID_LIST
    const here = ports
      .map((port) => ({ ...id, port }))
      .filter((each) => key === undefined || key === (this.of(each)?.key ?? 0n))
    for (const each of [...here, ...more]) {
      const there = this.of(each)
      if (actionKey === 0n) this.#unregister(each, id)
      else if (there !== undefined) there.key = actionKey
      else this.registered.push({ id: each, key: actionKey })
    }
    this.aptpl = aptpl
    this.generation++
    return "good"
  }

  /** §5.13.11.2.3; `by`: who isn't told. */
  #unregister(id: Id, by: Id): void {
    this.registered = this.registered.filter((each) => !same(each.id, id))
    if (this.reserved === undefined) return
    const { type, by: holder } = this.reserved
    if (type >= 7 ? this.registered.length > 0 : !same(holder, id)) return
    this.reserved = undefined
    if (type === 5 || type === 6) this.#tellAllBut(by, RELEASED)
  }

  #move(id: Id, { actionKey, moveTo, aptpl, unregister }: Request): string {
    if (this.reserved === undefined) return INVALID_CDB
    if (this.reserved.type >= 7) return "conflict"
    if (actionKey === 0n) return INVALID_LIST
    if (!this.targetPorts.includes(moveTo.port)) return INVALID_LIST
    if (moveTo.host === id.host && moveTo.isid === id.isid) return INVALID_LIST
    const there = this.of(moveTo)
    if (there !== undefined) there.key = actionKey
    else this.registered.push({ id: moveTo, key: actionKey })
    this.reserved = { type: this.reserved.type, by: moveTo }
    if (unregister) this.registered = this.registered.filter((each) => !same(each.id, id))
    this.aptpl = aptpl
    this.generation++
    return "good"
  }

  #clear(id: Id): string {
    this.#tellAllBut(id, PREEMPTED)
    this.registered = []
    this.reserved = undefined
    this.generation++
    return "good"
  }

  #reserve(id: Id, { type }: Request): string {
    if (!TYPES.includes(type)) return INVALID_CDB
    if (this.reserved !== undefined) return this.reserved.type === type ? "good" : "conflict"
    this.reserved = { type, by: id }
    return "good"
  }

  #release(id: Id, { type }: Request): string {
    if (!this.holds(id)) return "good"
    if (this.reserved?.type !== type) return INVALID_RELEASE
    this.reserved = undefined
    if (type >= 5) this.#tellAllBut(id, RELEASED)
    return "good"
  }

  #preempt(id: Id, { actionKey, type }: Request): string {
    const before = this.reserved
    const everyone = before !== undefined && before.type >= 7 && actionKey === 0n
    if (before !== undefined && before.type < 7 && actionKey === 0n) return INVALID_LIST
    const wanted = this.registered.filter(({ key }) => everyone || key === actionKey)
    if (wanted.length === 0) return "conflict"
    const takesOver =
      everyone || wanted.some((each) => before !== undefined && before.type < 7 && same(each.id, before.by))
    if (takesOver && !TYPES.includes(type)) return INVALID_CDB
    for (const each of wanted) {
      if (!same(each.id, id)) this.#tell(each.id, REGISTRATIONS_PREEMPTED)
      if (takesOver && same(each.id, id)) continue
      this.registered = this.registered.filter((other) => other !== each)
    }
    if (takesOver) {
      if (type !== before?.type) this.#tellAllBut(id, RELEASED)
      this.reserved = { type, by: id }
    } else if (this.registered.length === 0) {
      this.reserved = undefined
    }
    this.generation++
    return "good"
  }
}
