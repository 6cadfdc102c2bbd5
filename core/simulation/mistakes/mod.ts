/**
 * Mistakes planted on purpose, each with the invariant that must find it: a checker that does not
 * proves nothing.
 */
import type { Name } from "../invariants/mod.ts"
import type { Plant } from "../World.ts"
import { acknowledgedEarly } from "./acknowledgedEarly.ts"
import { breakerIgnored } from "./breakerIgnored.ts"
import { cancelForgotten } from "./cancelForgotten.ts"
import { decidedUnlocked } from "./decidedUnlocked.ts"
import { droppedSlot } from "./droppedSlot.ts"
import { endedTwice } from "./endedTwice.ts"
import { followedTwice } from "./followedTwice.ts"
import { heldForEver } from "./heldForEver.ts"
import { keyForgotten } from "./keyForgotten.ts"
import { noFenceCheck } from "./noFenceCheck.ts"
import { noUniqueSlot } from "./noUniqueSlot.ts"
import { pausedLate } from "./pausedLate.ts"
import { placedForAll } from "./placedForAll.ts"
import { retriedAtOnce } from "./retriedAtOnce.ts"
import { selectorIgnored } from "./selectorIgnored.ts"
import { triedForEver } from "./triedForEver.ts"

const planted = <M extends Record<string, readonly [Plant, Name]>>(all: M): M => all

export const mistakes = planted({
  acknowledgedEarly: [{ storage: acknowledgedEarly }, "I1"],
  keyForgotten: [{ storage: keyForgotten }, "I2"],
  noFenceCheck: [{ storage: noFenceCheck }, "I5"],
  endedTwice: [{ storage: endedTwice }, "I6"],
  triedForEver: [{ storage: triedForEver }, "I7"],
  retriedAtOnce: [{ storage: retriedAtOnce }, "I8"],
  noUniqueSlot: [{ storage: noUniqueSlot }, "I9"],
  droppedSlot: [{ storage: droppedSlot }, "I9"],
  decidedUnlocked: [{ storage: decidedUnlocked }, "I13"],
  pausedLate: [{ storage: pausedLate }, "I16"],
  cancelForgotten: [{ storage: cancelForgotten }, "I16"],
  followedTwice: [{ storage: followedTwice }, "I19"],
  breakerIgnored: [{ storage: breakerIgnored }, "I24"],
  placedForAll: [{ storage: placedForAll }, "I25"],
  selectorIgnored: [{ storage: selectorIgnored }, "I25"],
  heldForEver: [{ storage: heldForEver }, "L2"],
})
