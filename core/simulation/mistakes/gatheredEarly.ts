/** Planted: a parent ends with the first of its children. */
import { Effect } from "effect"
import type { Report } from "../../services/RunStorage.ts"
import * as Run from "../../domain/Run.ts"
import type { Mistake } from "../World.ts"

export const gatheredEarly: Mistake = (storage, state) => {
  const { runs } = storage
  const gather = (reports: ReadonlyArray<Report>) =>
    Effect.map(storage.now, (now) => {
      for (const { run } of reports) {
        const parent = state.runs.get(state.runs.get(run)?.shard?.parent ?? run)
        const isAny = parent?.children.some((child) => Run.isFinal(child.state._tag))
        if (isAny) state.move(parent!, { _tag: "Gather", verdict: "Succeeded" }, now)
      }
    })
  return {
    ...storage,
    runs: {
      ...runs,
      claim: (request) => Effect.tap(runs.claim(request), () => gather(request.reports)),
      settle: (incarnation, reports) =>
        Effect.tap(runs.settle(incarnation, reports), () => gather(reports)),
    },
  }
}
