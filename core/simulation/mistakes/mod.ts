/** Mistakes planted on purpose: a checker that does not find them proves nothing. */
import { acknowledgedEarly } from "./acknowledgedEarly.ts"
import { decidedUnlocked } from "./decidedUnlocked.ts"
import { droppedSlot } from "./droppedSlot.ts"
import { noFenceCheck } from "./noFenceCheck.ts"
import { noUniqueSlot } from "./noUniqueSlot.ts"
import { pausedLate } from "./pausedLate.ts"
import { placedForAll } from "./placedForAll.ts"

export const mistakes = {
  noFenceCheck,
  noUniqueSlot,
  acknowledgedEarly,
  decidedUnlocked,
  droppedSlot,
  pausedLate,
  placedForAll,
}
