import { DEPTH_UNKNOWN } from "./frame.ts"
import type { Enhanced } from "./frame.ts"

/** Read depths as one side sees them. */
export interface Depths {
  readonly responderResources: number
  readonly initiatorDepth: number
}

const known = (depth: number, otherwise: number): number => (depth === DEPTH_UNKNOWN ? otherwise : depth)

/** A depth for the wire: what 14 bits can't say isn't needed. */
const said = (depth: number): number => Math.min(depth, DEPTH_UNKNOWN - 1)

/** What the asking side says (RFC 6581 §9.1): the read depths it would like, and every way it can say it's there. */
export function offer(depths: Depths, peerToPeer: boolean): Enhanced {
  return {
    ird: said(depths.responderResources),
    ord: said(depths.initiatorDepth),
    peerToPeer,
    rtrSend: peerToPeer,
    rtrWrite: peerToPeer,
    // A read of nothing is a read: without depth there's none.
    rtrRead: peerToPeer && depths.initiatorDepth > 0,
  }
}

/** What the peer of a request may have of `most`; without enhanced data each side is left to itself (RFC 5044). */
export function offered(enhanced: Enhanced | undefined, most: Depths): Depths {
  if (enhanced === undefined) return most
  return {
    responderResources: Math.min(known(enhanced.ord, most.responderResources), most.responderResources),
    initiatorDepth: Math.min(known(enhanced.ird, most.initiatorDepth), most.initiatorDepth),
  }
}

/** The answer to an offer: `depths` have been cut down to it; a depth that wasn't said isn't answered. */
export function answer(asked: Enhanced, depths: Depths): Enhanced {
  const { peerToPeer } = asked
  return {
    ird: asked.ord === DEPTH_UNKNOWN ? DEPTH_UNKNOWN : said(depths.responderResources),
    ord: asked.ird === DEPTH_UNKNOWN ? DEPTH_UNKNOWN : said(depths.initiatorDepth),
    peerToPeer,
    rtrSend: peerToPeer && asked.rtrSend,
    rtrWrite: peerToPeer && asked.rtrWrite,
    rtrRead: peerToPeer && asked.rtrRead,
  }
}

/** What an answer leaves to the side that asked, or which of its rules the answer breaks. */
export function settled(
  asked: Enhanced,
  reply: Enhanced,
  depths: Depths,
): { readonly depths: Depths; readonly rtr: Enhanced | undefined } | "insufficient-ird" | "no-matching-rtr" {
  // The responder may not have more reads under way than we serve (RFC 6581 §9.1).
  if (reply.ord !== DEPTH_UNKNOWN && reply.ord > depths.responderResources) return "insufficient-ird"
  const agreed = {
    responderResources: known(reply.ord, depths.responderResources),
    initiatorDepth: Math.min(depths.initiatorDepth, known(reply.ird, depths.initiatorDepth)),
  }
  if (!asked.peerToPeer || !reply.peerToPeer) return { depths: agreed, rtr: undefined }
  const rtr = {
    ...reply,
    rtrSend: asked.rtrSend && reply.rtrSend,
    rtrWrite: asked.rtrWrite && reply.rtrWrite,
    rtrRead: asked.rtrRead && reply.rtrRead && agreed.initiatorDepth > 0,
  }
  return rtr.rtrSend || rtr.rtrWrite || rtr.rtrRead ? { depths: agreed, rtr } : "no-matching-rtr"
}
