import type { Command } from "../../sam/command.ts"
import { all, none } from "../../sam/usage.ts"
import { OperationCode, ThirdPartyCopyIn, ThirdPartyCopyOut } from "../../spec/operation-code.ts"
import type { DiskUnit } from "../disk-unit.ts"
import {
  receiveCopyDataLid1,
  receiveCopyFailureDetailsLid1,
  receiveCopyOperatingParameters,
  receiveCopyStatusLid1,
  receiveCopyStatusLid4,
  receiveRodTokenInformation,
} from "./copy-results.ts"
import { copyOperationAbort, extendedCopyLid1, extendedCopyLid4 } from "./extended-copy.ts"
import { populateToken } from "./populate-token.ts"
import { writeUsingToken } from "./write-using-token.ts"

type CopyCommand = Command<DiskUnit>

const { thirdPartyCopyOut, thirdPartyCopyIn } = OperationCode
const GROUP = 0x1f

const out = (
  name: string,
  serviceAction: number,
  usage: readonly number[],
  access: CopyCommand["access"],
  execute: CopyCommand["execute"],
): CopyCommand => ({
  name,
  opcode: thirdPartyCopyOut,
  serviceAction,
  usage: [thirdPartyCopyOut, serviceAction, ...usage],
  access,
  execute,
})

/** A list identifier of `idBytes`, and an ALLOCATION LENGTH. They tell of what the nexus has done itself. */
const receive = (
  name: string,
  serviceAction: number,
  idBytes: number,
  execute: CopyCommand["execute"],
): CopyCommand => ({
  name,
  opcode: thirdPartyCopyIn,
  serviceAction,
  usage: [thirdPartyCopyIn, serviceAction, ...all(idBytes), ...none(8 - idBytes), ...all(4), 0, 0],
  access: "none",
  execute,
})

const parameterListLength = [...none(8), ...all(4), 0, 0]
const withListId = [...none(4), ...all(4), ...all(4), GROUP, 0]

/** Third-party copy (SPC-4 §5.17.3, SBC-3). */
export const copyCommands: readonly CopyCommand[] = [
  out(
    "EXTENDED COPY (LID1)",
    ThirdPartyCopyOut.extendedCopyLid1,
    parameterListLength,
    "write",
    extendedCopyLid1,
  ),
  out(
    "EXTENDED COPY (LID4)",
    ThirdPartyCopyOut.extendedCopyLid4,
    parameterListLength,
    "write",
    extendedCopyLid4,
  ),
  out("POPULATE TOKEN", ThirdPartyCopyOut.populateToken, withListId, "read", populateToken),
  out("WRITE USING TOKEN", ThirdPartyCopyOut.writeUsingToken, withListId, "write", writeUsingToken),
  out(
    "COPY OPERATION ABORT",
    ThirdPartyCopyOut.copyOperationAbort,
    [...all(4), ...none(10)],
    "none",
    copyOperationAbort,
  ),
  receive("RECEIVE COPY STATUS (LID1)", ThirdPartyCopyIn.receiveCopyStatusLid1, 1, receiveCopyStatusLid1),
  receive("RECEIVE COPY DATA (LID1)", ThirdPartyCopyIn.receiveCopyDataLid1, 1, receiveCopyDataLid1),
  receive(
    "RECEIVE COPY OPERATING PARAMETERS",
    ThirdPartyCopyIn.receiveCopyOperatingParameters,
    0,
    receiveCopyOperatingParameters,
  ),
  receive(
    "RECEIVE COPY FAILURE DETAILS (LID1)",
    ThirdPartyCopyIn.receiveCopyFailureDetailsLid1,
    1,
    receiveCopyFailureDetailsLid1,
  ),
  receive("RECEIVE COPY STATUS (LID4)", ThirdPartyCopyIn.receiveCopyStatusLid4, 4, receiveCopyStatusLid4),
  receive(
    "RECEIVE ROD TOKEN INFORMATION",
    ThirdPartyCopyIn.receiveRodTokenInformation,
    4,
    receiveRodTokenInformation,
  ),
]
