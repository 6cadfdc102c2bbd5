/**
 * Mistakes planted on purpose, each with the invariant that must find it: a checker that does not
 * proves nothing. A number is the seed that has found it when it was last looked for: a search that
 * begins there is short. Where the draws have changed it goes on from there;
 * `npm run simulate -- --mistake NAME --from 0` says which seed finds it now.
 */
import type { Name } from "../invariants/mod.ts"
import type { Plant } from "../World.ts"
import { acknowledgedEarly } from "./acknowledgedEarly.ts"
import { askedTwice } from "./askedTwice.ts"
import { backlogUncounted } from "./backlogUncounted.ts"
import { begunAgain } from "./begunAgain.ts"
import { begunTooLate } from "./begunTooLate.ts"
import { breakerIgnored } from "./breakerIgnored.ts"
import { cancelForgotten } from "./cancelForgotten.ts"
import { changeForgotten } from "./changeForgotten.ts"
import { cleanedAgain } from "./cleanedAgain.ts"
import { cleanedEarly } from "./cleanedEarly.ts"
import { deadlineForgotten } from "./deadlineForgotten.ts"
import { decidedUnlocked } from "./decidedUnlocked.ts"
import { delayForgotten } from "./delayForgotten.ts"
import { discardedIdly } from "./discardedIdly.ts"
import { drainCounted } from "./drainCounted.ts"
import { droppedSlot } from "./droppedSlot.ts"
import { endedTwice } from "./endedTwice.ts"
import { fenceUsedAgain } from "./fenceUsedAgain.ts"
import { filledAnyway } from "./filledAnyway.ts"
import { firedEarly } from "./firedEarly.ts"
import { firedLate } from "./firedLate.ts"
import { followedTwice } from "./followedTwice.ts"
import { freedTwice } from "./freedTwice.ts"
import { gateLeftShut } from "./gateLeftShut.ts"
import { gatedUncounted } from "./gatedUncounted.ts"
import { gatheredEarly } from "./gatheredEarly.ts"
import { givenUpEarly } from "./givenUpEarly.ts"
import { grantedTwice } from "./grantedTwice.ts"
import { groupPausedLate } from "./groupPausedLate.ts"
import { groupsApart } from "./groupsApart.ts"
import { heldBeyond } from "./heldBeyond.ts"
import { heldForEver } from "./heldForEver.ts"
import { heldUpIdly } from "./heldUpIdly.ts"
import { herdTogether } from "./herdTogether.ts"
import { hooksForgotten } from "./hooksForgotten.ts"
import { jitterTaken } from "./jitterTaken.ts"
import { keptForEver } from "./keptForEver.ts"
import { keyForgotten } from "./keyForgotten.ts"
import { keysConfused } from "./keysConfused.ts"
import { laneForgotten } from "./laneForgotten.ts"
import { lastGrantedFirst } from "./lastGrantedFirst.ts"
import { lastPassesFirst } from "./lastPassesFirst.ts"
import { latenessIgnored } from "./latenessIgnored.ts"
import { lateReportTold } from "./lateReportTold.ts"
import { lateRowsPassedBy } from "./lateRowsPassedBy.ts"
import { levelUntold } from "./levelUntold.ts"
import { linesUnfenced } from "./linesUnfenced.ts"
import { madeToWait } from "./madeToWait.ts"
import { misfiredInTime } from "./misfiredInTime.ts"
import { nobodyHinted } from "./nobodyHinted.ts"
import { noFenceCheck } from "./noFenceCheck.ts"
import { noUniqueSlot } from "./noUniqueSlot.ts"
import { numberedAlike } from "./numberedAlike.ts"
import { onceMissed } from "./onceMissed.ts"
import { oneLeftOut } from "./oneLeftOut.ts"
import { orderUnheard } from "./orderUnheard.ts"
import { overlapIgnored } from "./overlapIgnored.ts"
import { patienceForgotten } from "./patienceForgotten.ts"
import { pausedLate } from "./pausedLate.ts"
import { placedForAll } from "./placedForAll.ts"
import { placesForgotten } from "./placesForgotten.ts"
import { positionIgnored } from "./positionIgnored.ts"
import { postponedAsFailed } from "./postponedAsFailed.ts"
import { progressUnfenced } from "./progressUnfenced.ts"
import { reasonsConfused } from "./reasonsConfused.ts"
import { recordsForgotten } from "./recordsForgotten.ts"
import { removedLate } from "./removedLate.ts"
import { retentionForgotten } from "./retentionForgotten.ts"
import { retriedAtOnce } from "./retriedAtOnce.ts"
import { retryUntold } from "./retryUntold.ts"
import { revisionIgnored } from "./revisionIgnored.ts"
import { rollbackForgotten } from "./rollbackForgotten.ts"
import { selectorIgnored } from "./selectorIgnored.ts"
import { silentForever } from "./silentForever.ts"
import { someSpared } from "./someSpared.ts"
import { spanForgotten } from "./spanForgotten.ts"
import { startedBeside } from "./startedBeside.ts"
import { stateForgotten } from "./stateForgotten.ts"
import { stepUnnoticed } from "./stepUnnoticed.ts"
import { stoppedForLong } from "./stoppedForLong.ts"
import { termOutlived } from "./termOutlived.ts"
import { termShared } from "./termShared.ts"
import { timeoutForgotten } from "./timeoutForgotten.ts"
import { toldOnce } from "./toldOnce.ts"
import { triedForEver } from "./triedForEver.ts"
import { undoneTwice } from "./undoneTwice.ts"
import { weightsForgotten } from "./weightsForgotten.ts"

const planted = <M extends Record<string, readonly [Plant, Name, number?]>>(all: M): M => all

export const mistakes = planted({
  retentionForgotten: [{ storage: retentionForgotten }, "H1", 49],
  runsKeptForEver: [{ storage: keptForEver }, "H2", 6],
  slotsKeptForEver: [{ storage: keptForEver }, "H4", 10],
  acknowledgedEarly: [{ storage: acknowledgedEarly }, "I1"],
  keyForgotten: [{ storage: keyForgotten }, "I2"],
  grantedTwice: [{ storage: grantedTwice }, "I3"],
  fenceUsedAgain: [{ storage: fenceUsedAgain }, "I4"],
  noFenceCheck: [{ storage: noFenceCheck }, "I5", 14],
  progressUnfenced: [{ storage: progressUnfenced }, "I5", 112],
  linesUnfenced: [{ storage: linesUnfenced }, "I5", 303],
  endedTwice: [{ storage: endedTwice }, "I6"],
  triedForEver: [{ storage: triedForEver }, "I7"],
  givenUpEarly: [{ storage: givenUpEarly }, "I7"],
  begunAgain: [{ storage: begunAgain }, "I7", 8],
  drainCounted: [{ storage: drainCounted }, "I7", 8],
  retriedAtOnce: [{ storage: retriedAtOnce }, "I8"],
  herdTogether: [{ executor: herdTogether }, "I8"],
  noUniqueSlot: [{ storage: noUniqueSlot }, "I9"],
  droppedSlot: [{ storage: droppedSlot }, "I9"],
  misfiredInTime: [{ planner: misfiredInTime }, "I9"],
  latenessIgnored: [{ planner: latenessIgnored }, "I9"],
  reasonsConfused: [{ storage: reasonsConfused }, "I9"],
  removedLate: [{ storage: removedLate }, "I9"],
  recordsForgotten: [{ storage: recordsForgotten }, "I9"],
  startForgotten: [{ storage: spanForgotten("start") }, "I9", 11],
  endForgotten: [{ storage: spanForgotten("end") }, "I9"],
  onceMissed: [{ storage: onceMissed }, "I9", 61],
  slotLost: [{ storage: droppedSlot }, "I10"],
  firedLate: [{ storage: firedLate }, "I10"],
  firedEarly: [{ storage: firedEarly }, "I10"],
  jitterForgotten: [{ planner: jitterTaken(() => 0) }, "I10", 48],
  jitterExceeded: [{ planner: jitterTaken((millis) => 3 * millis) }, "I10"],
  lastPassesFirst: [{ storage: lastPassesFirst }, "I11"],
  patienceForgotten: [{ storage: patienceForgotten }, "I11"],
  madeToWait: [{ storage: madeToWait }, "I12"],
  discardedIdly: [{ storage: discardedIdly }, "I12"],
  decidedUnlocked: [{ storage: decidedUnlocked }, "I13"],
  placesForgotten: [{ executor: placesForgotten }, "I13", 13],
  groupsApart: [{ storage: groupsApart }, "I13"],
  gatheredEarly: [{ storage: gatheredEarly }, "I14"],
  numberedAlike: [{ storage: numberedAlike }, "I15"],
  oneLeftOut: [{ storage: oneLeftOut }, "I15"],
  pausedLate: [{ storage: pausedLate }, "I16"],
  cancelForgotten: [{ storage: cancelForgotten }, "I16"],
  groupPausedLate: [{ storage: groupPausedLate }, "I16", 7],
  someSpared: [{ storage: someSpared }, "I16"],
  orderUnheard: [{ storage: orderUnheard }, "I16", 16],
  timeoutForgotten: [{ executor: timeoutForgotten }, "I17", 18],
  silentForever: [{ storage: silentForever }, "I17", 112],
  freedTwice: [{ storage: freedTwice }, "I18"],
  termShared: [{ lock: termShared }, "I18", 13],
  termOutlived: [{ lock: termOutlived }, "I18", 42],
  followedTwice: [{ storage: followedTwice }, "I19"],
  toldOnce: [{ storage: toldOnce }, "I19", 12],
  stepUnnoticed: [{ storage: stepUnnoticed }, "I22"],
  backlogUncounted: [{ storage: backlogUncounted }, "I23", 7],
  gatedUncounted: [{ storage: gatedUncounted }, "I23", 7],
  breakerIgnored: [{ storage: breakerIgnored }, "I24"],
  keysConfused: [{ storage: keysConfused }, "I24", 72],
  postponedAsFailed: [{ storage: postponedAsFailed }, "I24", 6],
  placedForAll: [{ storage: placedForAll }, "I25"],
  selectorIgnored: [{ storage: selectorIgnored }, "I25", 11],
  lastGrantedFirst: [{ storage: lastGrantedFirst }, "I26"],
  laneForgotten: [{ storage: laneForgotten }, "L1", 17],
  heldForEver: [{ storage: heldForEver }, "L2"],
  heldBeyond: [{ lock: heldBeyond }, "L3", 41],
  nobodyHinted: [{ storage: nobodyHinted }, "L4"],
  gateLeftShut: [{ storage: gateLeftShut }, "L5"],
  delayForgotten: [{ storage: delayForgotten }, "R9"],
  deadlineForgotten: [{ storage: deadlineForgotten }, "R16"],
  begunTooLate: [{ storage: begunTooLate }, "R16"],
  stateForgotten: [{ storage: stateForgotten }, "R19"],
  weightsForgotten: [{ storage: weightsForgotten }, "R23", 7],
  retryUntold: [{ storage: retryUntold }, "R28"],
  lateReportTold: [{ storage: lateReportTold }, "R28"],
  levelUntold: [{ storage: levelUntold }, "R28"],
  changeForgotten: [{ storage: changeForgotten }, "R35"],
  revisionIgnored: [{ storage: revisionIgnored }, "R36"],
  cleanedEarly: [{ executor: cleanedEarly }, "R43"],
  cleanedAgain: [{ storage: cleanedAgain }, "R43", 9],
  hooksForgotten: [{ storage: hooksForgotten }, "R43"],
  askedTwice: [{ storage: askedTwice }, "T13"],
  filledAnyway: [{ storage: filledAnyway }, "T13", 18],
  overlapIgnored: [{ storage: overlapIgnored }, "T14"],
  heldUpIdly: [{ storage: heldUpIdly }, "T14", 36],
  rollbackForgotten: [{ storage: rollbackForgotten }, "R37"],
  undoneTwice: [{ storage: undoneTwice }, "R37", 8],
  startedBeside: [{ storage: startedBeside }, "T15", 10],
  stoppedForLong: [{ storage: stoppedForLong }, "T15", 10],
  positionIgnored: [{ storage: positionIgnored }, "T16", 21],
  lateRowsPassedBy: [{ storage: lateRowsPassedBy }, "T16"],
})
