/** Planted: who resumes a run puts it where it is claimed by another call: who dies before has not. */
import { Effect, Option } from "effect"
import type { RunId } from "../../../domain/RunId.ts"
import type { Storage } from "../../../services/Storage.ts"
import type { Plant } from "../World.ts"

type Runs = Storage["Service"]["runs"]

/** With another call beside those that there are. */
interface Entering extends Runs {
  readonly enter: (run: RunId) => Effect.Effect<void>
}

export const resumedInTwo: Plant = {
  storage: (storage, state) => {
    const { runs } = storage
    const entering: Entering = {
      ...runs,
      resume: (run, by) =>
        Effect.tap(runs.resume(run, by), () =>
          Effect.sync(() => {
            const entry = state.runs.get(run)
            if (entry !== undefined) state.ready.get(entry.lane)?.delete(entry)
          })),
      enter: (run) =>
        Effect.sync(() => {
          const entry = state.runs.get(run)
          if (entry?.state._tag === "Ready") state.moveTo(entry, entry.lane)
        }),
    }
    return { ...storage, runs: entering }
  },
  server: (storage) => {
    const runs = storage.runs as Entering
    return {
      ...storage,
      runs: {
        ...runs,
        resume: Effect.fnUntraced(function* (run, by) {
          const before = Option.getOrUndefined(yield* runs.find(run))
          const answer = yield* runs.resume(run, by)
          if (before?.state === "Suspended") yield* runs.enter(run)
          return answer
        }),
      },
    }
  },
}
