import type { Command } from "../../sam/command.ts"
import type { Reservation } from "../../sam/reservation.ts"
import { OperationCode, PersistentReserveIn, PersistentReserveOut } from "../../spec/operation-code.ts"
import { persistentReserveIn, readFullStatus, readKeys, readReservation, reportCapabilities } from "./in.ts"
import { type OutAction, persistentReserveOut } from "./out.ts"
import { basicParameters, moveParameters } from "./parameter-list.ts"
import { preempt } from "./preempt.ts"
import { register, registerAndIgnoreExistingKey, registerAndMove } from "./register.ts"
import { clear, release, replaceLostReservation, reserve } from "./reserve.ts"

const inRow = (name: string, action: number, build: (reservation: Reservation) => Uint8Array): Command => ({
  name: `PERSISTENT RESERVE IN, ${name}`,
  opcode: OperationCode.persistentReserveIn,
  serviceAction: action,
  usage: [OperationCode.persistentReserveIn, action, 0, 0, 0, 0, 0, 0xff, 0xff, 0],
  access: "none",
  execute: persistentReserveIn(build),
})

/** SCOPE and TYPE may be set for all actions, also for those that ignore them. */
const outRow = <Parameters>(
  name: string,
  action: PersistentReserveOut,
  row: OutAction<Parameters>,
): Command => ({
  name: `PERSISTENT RESERVE OUT, ${name}`,
  opcode: OperationCode.persistentReserveOut,
  serviceAction: action,
  usage: [OperationCode.persistentReserveOut, action, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0],
  access: "none",
  execute: persistentReserveOut(row),
})

const parse = basicParameters

/** PERSISTENT RESERVE IN and OUT (SPC-4 §6.15, 6.16). Whom they conflict for: sam/reservation-conflicts.ts. */
export const persistentReserveCommands: readonly Command[] = [
  inRow("READ KEYS", PersistentReserveIn.readKeys, readKeys),
  inRow("READ RESERVATION", PersistentReserveIn.readReservation, readReservation),
  inRow("REPORT CAPABILITIES", PersistentReserveIn.reportCapabilities, reportCapabilities),
  inRow("READ FULL STATUS", PersistentReserveIn.readFullStatus, readFullStatus),
  outRow("REGISTER", PersistentReserveOut.register, { parse, decide: register }),
  outRow("RESERVE", PersistentReserveOut.reserve, { parse, decide: reserve }),
  outRow("RELEASE", PersistentReserveOut.release, { parse, decide: release }),
  outRow("CLEAR", PersistentReserveOut.clear, { parse, decide: clear }),
  outRow("PREEMPT", PersistentReserveOut.preempt, { parse, decide: preempt }),
  outRow("PREEMPT AND ABORT", PersistentReserveOut.preemptAndAbort, { parse, decide: preempt, aborts: true }),
  outRow("REGISTER AND IGNORE EXISTING KEY", PersistentReserveOut.registerAndIgnoreExistingKey, {
    parse,
    decide: registerAndIgnoreExistingKey,
  }),
  outRow("REGISTER AND MOVE", PersistentReserveOut.registerAndMove, {
    parse: moveParameters,
    decide: registerAndMove,
  }),
  outRow("REPLACE LOST RESERVATION", PersistentReserveOut.replaceLostReservation, {
    parse,
    decide: replaceLostReservation,
  }),
]
