/** Planted: what is to be cut, or to run everywhere, has one part fewer. */
import type { Mistake } from "../World.ts"

export const oneLeftOut: Mistake = (storage) => ({
  ...storage,
  placements: {
    ...storage.placements,
    place: (decision) =>
      storage.placements.place({
        ...decision,
        moves: decision.moves.map((move) =>
          move._tag === "Spread" && move.parts.length > 1
            ? { ...move, parts: move.parts.slice(1) }
            : move
        ),
      }),
  },
})
