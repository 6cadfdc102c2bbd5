/**
 * Mistakes planted on purpose, each with the invariant that must find it: a checker that does not
 * proves nothing.
 */
import type { Name } from "../invariants/mod.ts"
import type { Mistake } from "../World.ts"
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

const planted = <M extends Record<string, readonly [Mistake, Name]>>(all: M): M => all

export const mistakes = planted({
  acknowledgedEarly: [acknowledgedEarly, "I1"],
  keyForgotten: [keyForgotten, "I2"],
  noFenceCheck: [noFenceCheck, "I5"],
  endedTwice: [endedTwice, "I6"],
  triedForEver: [triedForEver, "I7"],
  retriedAtOnce: [retriedAtOnce, "I8"],
  noUniqueSlot: [noUniqueSlot, "I9"],
  droppedSlot: [droppedSlot, "I9"],
  decidedUnlocked: [decidedUnlocked, "I13"],
  pausedLate: [pausedLate, "I16"],
  cancelForgotten: [cancelForgotten, "I16"],
  followedTwice: [followedTwice, "I19"],
  breakerIgnored: [breakerIgnored, "I24"],
  placedForAll: [placedForAll, "I25"],
  selectorIgnored: [selectorIgnored, "I25"],
  heldForEver: [heldForEver, "L2"],
})
