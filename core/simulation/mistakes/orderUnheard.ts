/** Planted: nobody is told which of its runs were asked to stop, by beats or by hints. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const orderUnheard: Mistake = (storage) => ({
  ...storage,
  executors: {
    ...storage.executors,
    beat: (...given) =>
      Effect.map(
        storage.executors.beat(...given),
        (beaten) => beaten._tag === "Alive" ? { ...beaten, revoked: [] } : beaten,
      ),
  },
})
