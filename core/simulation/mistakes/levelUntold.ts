/** Planted: now and then a run gets another level, and nothing is written down of it. */
import type { Mistake } from "../World.ts"

export const levelUntold: Mistake = (storage, state) => {
  const note = state.note.bind(state)
  let levels = 0
  state.note = (entry, kind, ...more) => {
    if (kind !== "LevelSet" || ++levels % 3 > 0) note(entry, kind, ...more)
  }
  return storage
}
