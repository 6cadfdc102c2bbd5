/** Planted: what is told ahead is fired at once. */
import { toldMillis } from "../toldAhead.ts"
import type { Mistake } from "../World.ts"
import { firedAnyway } from "./firedAnyway.ts"

export const firedEarly: Mistake = (storage, state) => {
  const anyway = firedAnyway("NotDue")(storage, state)
  return { ...anyway, triggers: { ...anyway.triggers, aheadMillis: toldMillis } }
}
