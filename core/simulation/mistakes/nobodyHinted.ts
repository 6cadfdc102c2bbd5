/** Planted: hints get lost, all of them. */
import type { Mistake } from "../World.ts"

export const nobodyHinted: Mistake = (storage, state) => {
  state.hint = () => undefined
  return storage
}
