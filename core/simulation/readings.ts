/**
 * Somebody who looks at the storage twice a second, and reads what is told of each run that has not ended,
 * if anything has become of it since.
 */
import { Effect, Option } from "effect"
import { standard } from "../domain/Namespace.ts"
import * as Run from "../domain/Run.ts"
import type { RunId } from "../domain/RunId.ts"
import type { RunHappening, RunView } from "../domain/RunView.ts"
import type { Storage } from "../services/Storage.ts"

/** A run and its history at one instant, both by the clock of the storage. */
export interface Reading {
  readonly view: RunView
  readonly history: ReadonlyArray<RunHappening>
}

const everyMillis = 500
const most = 1000
const open = Run.StateName.literals.filter((state) => !Run.isFinal(state))

export const read = Effect.fnUntraced(
  function* ({ runs }: Storage["Service"], readings: Array<Reading>) {
    const known = new Map<RunId, string>()
    for (;;) {
      yield* Effect.sleep(everyMillis)
      for (const { id } of yield* runs.list({ namespace: standard, states: open, limit: most })) {
        const before = yield* runs.find(id)
        const history = yield* runs.events(id)
        const view = Option.getOrUndefined(yield* runs.find(id))
        const text = JSON.stringify(view)
        // It may have gone on meanwhile.
        if (view === undefined || text === known.get(id)) continue
        if (text !== JSON.stringify(Option.getOrUndefined(before))) continue
        known.set(id, text)
        readings.push({ view, history })
      }
    }
  },
  Effect.orDie,
)
