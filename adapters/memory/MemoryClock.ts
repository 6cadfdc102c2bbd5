/**
 * The clock of the storage in memory, for what grants and ends leases: see `core/domain/ClockStep.ts`
 * for what a step is. After one, every lease keeps what was left of it.
 */
import { Clock, Effect } from "effect"
import { between, type Sighting } from "../../core/domain/ClockStep.ts"
import type { MemoryState } from "./MemoryState.ts"

/** What the clock says, after leases were moved by as much as it was set. */
export const ofLeases = (state: MemoryState): Effect.Effect<() => number> =>
  Effect.map(Clock.Clock, (clock) => {
    const sight = (): Sighting => ({
      said: clock.currentTimeMillisUnsafe(),
      at: Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
      error: 0,
    })
    state.seen ??= sight()
    return () => {
      const seen = sight()
      const step = between(state.seen!, seen)
      state.seen = seen
      if (step !== 0) state.moveLeases(step)
      return seen.said
    }
  })
