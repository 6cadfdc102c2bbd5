/** Planted: a slot that has a record already is fired all the same. */
import { firedAnyway } from "./firedAnyway.ts"

export const noUniqueSlot = firedAnyway("Already")
