/**
 * sg3_utils and ddpt, run by the Linux kernel's initiator in a virtual machine: what they read from our units is what is
 * there, and what they do to them is done.
 */
import { after, before, describe } from "node:test"
import { SgRig } from "./vm-sg3.ts"
import { blocks } from "./vm-sg3-blocks.ts"
import { copies } from "./vm-sg3-copy.ts"
import { paths } from "./vm-sg3-paths.ts"
import { reports } from "./vm-sg3-reports.ts"
import { reservations } from "./vm-sg3-reservations.ts"
import { state } from "./vm-sg3-state.ts"

const rig = new SgRig()
before(() => rig.start())
after(() => rig.stop())

describe("what a unit tells of itself", () => reports(rig))
describe("blocks", () => blocks(rig))
describe("third-party copies", () => copies(rig))
describe("target port groups", () => paths(rig))
describe("sg_persist", () => reservations(rig))
describe("what can be changed", () => state(rig))
