/**
 * Mistakes planted on purpose, each with the invariant that must find it: a checker that does not
 * proves nothing.
 */
import type { Name } from "../invariants/mod.ts"
import type { Plant } from "../World.ts"
import { acknowledgedEarly } from "./acknowledgedEarly.ts"
import { backlogUncounted } from "./backlogUncounted.ts"
import { begunTooLate } from "./begunTooLate.ts"
import { breakerIgnored } from "./breakerIgnored.ts"
import { cancelForgotten } from "./cancelForgotten.ts"
import { changeForgotten } from "./changeForgotten.ts"
import { deadlineForgotten } from "./deadlineForgotten.ts"
import { decidedUnlocked } from "./decidedUnlocked.ts"
import { discardedIdly } from "./discardedIdly.ts"
import { droppedSlot } from "./droppedSlot.ts"
import { endedTwice } from "./endedTwice.ts"
import { fenceUsedAgain } from "./fenceUsedAgain.ts"
import { firedEarly } from "./firedEarly.ts"
import { firedLate } from "./firedLate.ts"
import { followedTwice } from "./followedTwice.ts"
import { freedTwice } from "./freedTwice.ts"
import { gateLeftShut } from "./gateLeftShut.ts"
import { gatheredEarly } from "./gatheredEarly.ts"
import { grantedTwice } from "./grantedTwice.ts"
import { heldBeyond } from "./heldBeyond.ts"
import { heldForEver } from "./heldForEver.ts"
import { keyForgotten } from "./keyForgotten.ts"
import { keysConfused } from "./keysConfused.ts"
import { laneForgotten } from "./laneForgotten.ts"
import { lastGrantedFirst } from "./lastGrantedFirst.ts"
import { lastPassesFirst } from "./lastPassesFirst.ts"
import { latenessIgnored } from "./latenessIgnored.ts"
import { lateRowsPassedBy } from "./lateRowsPassedBy.ts"
import { misfiredInTime } from "./misfiredInTime.ts"
import { nobodyHinted } from "./nobodyHinted.ts"
import { noFenceCheck } from "./noFenceCheck.ts"
import { noUniqueSlot } from "./noUniqueSlot.ts"
import { numberedAlike } from "./numberedAlike.ts"
import { patienceForgotten } from "./patienceForgotten.ts"
import { pausedLate } from "./pausedLate.ts"
import { placedForAll } from "./placedForAll.ts"
import { placesForgotten } from "./placesForgotten.ts"
import { positionIgnored } from "./positionIgnored.ts"
import { postponedAsFailed } from "./postponedAsFailed.ts"
import { reasonsConfused } from "./reasonsConfused.ts"
import { retriedAtOnce } from "./retriedAtOnce.ts"
import { revisionIgnored } from "./revisionIgnored.ts"
import { selectorIgnored } from "./selectorIgnored.ts"
import { silentForever } from "./silentForever.ts"
import { stepUnnoticed } from "./stepUnnoticed.ts"
import { termOutlived } from "./termOutlived.ts"
import { termShared } from "./termShared.ts"
import { timeoutForgotten } from "./timeoutForgotten.ts"
import { triedForEver } from "./triedForEver.ts"
import { weightsForgotten } from "./weightsForgotten.ts"

const planted = <M extends Record<string, readonly [Plant, Name]>>(all: M): M => all

export const mistakes = planted({
  acknowledgedEarly: [{ storage: acknowledgedEarly }, "I1"],
  keyForgotten: [{ storage: keyForgotten }, "I2"],
  grantedTwice: [{ storage: grantedTwice }, "I3"],
  fenceUsedAgain: [{ storage: fenceUsedAgain }, "I4"],
  noFenceCheck: [{ storage: noFenceCheck }, "I5"],
  endedTwice: [{ storage: endedTwice }, "I6"],
  triedForEver: [{ storage: triedForEver }, "I7"],
  retriedAtOnce: [{ storage: retriedAtOnce }, "I8"],
  noUniqueSlot: [{ storage: noUniqueSlot }, "I9"],
  droppedSlot: [{ storage: droppedSlot }, "I9"],
  misfiredInTime: [{ planner: misfiredInTime }, "I9"],
  latenessIgnored: [{ planner: latenessIgnored }, "I9"],
  reasonsConfused: [{ storage: reasonsConfused }, "I9"],
  slotLost: [{ storage: droppedSlot }, "I10"],
  firedLate: [{ storage: firedLate }, "I10"],
  firedEarly: [{ storage: firedEarly }, "I10"],
  lastPassesFirst: [{ storage: lastPassesFirst }, "I11"],
  patienceForgotten: [{ storage: patienceForgotten }, "I11"],
  discardedIdly: [{ storage: discardedIdly }, "I12"],
  decidedUnlocked: [{ storage: decidedUnlocked }, "I13"],
  placesForgotten: [{ executor: placesForgotten }, "I13"],
  gatheredEarly: [{ storage: gatheredEarly }, "I14"],
  numberedAlike: [{ storage: numberedAlike }, "I15"],
  pausedLate: [{ storage: pausedLate }, "I16"],
  cancelForgotten: [{ storage: cancelForgotten }, "I16"],
  timeoutForgotten: [{ executor: timeoutForgotten }, "I17"],
  silentForever: [{ storage: silentForever }, "I17"],
  freedTwice: [{ storage: freedTwice }, "I18"],
  termShared: [{ lock: termShared }, "I18"],
  termOutlived: [{ lock: termOutlived }, "I18"],
  followedTwice: [{ storage: followedTwice }, "I19"],
  stepUnnoticed: [{ storage: stepUnnoticed }, "I22"],
  backlogUncounted: [{ storage: backlogUncounted }, "I23"],
  breakerIgnored: [{ storage: breakerIgnored }, "I24"],
  keysConfused: [{ storage: keysConfused }, "I24"],
  postponedAsFailed: [{ storage: postponedAsFailed }, "I24"],
  placedForAll: [{ storage: placedForAll }, "I25"],
  selectorIgnored: [{ storage: selectorIgnored }, "I25"],
  lastGrantedFirst: [{ storage: lastGrantedFirst }, "I26"],
  laneForgotten: [{ storage: laneForgotten }, "L1"],
  heldForEver: [{ storage: heldForEver }, "L2"],
  heldBeyond: [{ lock: heldBeyond }, "L3"],
  nobodyHinted: [{ storage: nobodyHinted }, "L4"],
  gateLeftShut: [{ storage: gateLeftShut }, "L5"],
  deadlineForgotten: [{ storage: deadlineForgotten }, "R16"],
  begunTooLate: [{ storage: begunTooLate }, "R16"],
  weightsForgotten: [{ storage: weightsForgotten }, "R23"],
  changeForgotten: [{ storage: changeForgotten }, "R35"],
  revisionIgnored: [{ storage: revisionIgnored }, "R36"],
  positionIgnored: [{ storage: positionIgnored }, "T16"],
  lateRowsPassedBy: [{ storage: lateRowsPassedBy }, "T16"],
})
