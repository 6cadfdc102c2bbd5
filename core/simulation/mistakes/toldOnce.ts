/** Planted: of a run that ended before, and was revived, nobody is told that it has ended again. */
import type { Mistake } from "../World.ts"

export const toldOnce: Mistake = (storage, state) => {
  const { outbox } = state
  const tell = outbox.tell.bind(outbox)
  const told = new Set<unknown>()
  outbox.tell = (entry, now) => {
    if (told.has(entry)) return false
    told.add(entry)
    return tell(entry, now)
  }
  return storage
}
