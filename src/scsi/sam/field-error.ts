import { Asc, SenseError, SenseKey } from "../spec/sense.ts"

/** INVALID FIELD IN CDB, pointing at the byte, and at the highest bit of the field where that isn't bit 7. */
export const invalidFieldInCdb = (message: string, byte: number, bit?: number): SenseError =>
  new SenseError(SenseKey.illegalRequest, Asc.invalidFieldInCdb, message, {
    field: bit === undefined ? { in: "cdb", byte } : { in: "cdb", byte, bit },
  })

/** INVALID FIELD IN PARAMETER LIST, likewise. */
export const invalidFieldInParameterList = (message: string, byte: number, bit?: number): SenseError =>
  new SenseError(SenseKey.illegalRequest, Asc.invalidFieldInParameterList, message, {
    field: bit === undefined ? { in: "parameters", byte } : { in: "parameters", byte, bit },
  })
