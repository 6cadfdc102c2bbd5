/** Somebody who looks at the storage twice a second, and writes down what he sees. */
import { Effect } from "effect"
import { standard } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Storage } from "../services/Storage.ts"
import * as Kept from "./Kept.ts"
import type { Ledger } from "./Ledger.ts"

const everyMillis = 500
const gatesMax = 1000

/** Begins after so many milliseconds. */
export const observe = Effect.fnUntraced(
  function* (storage: Storage["Service"], ledger: Ledger, after: number) {
    const seen = new Map<RunId, string>()
    yield* Effect.sleep(after)
    for (;;) {
      yield* Effect.sleep(everyMillis)
      const here = new Set(
        (yield* storage.executors.list(standard))
          .filter(({ standing }) => standing === "live" || standing === "draining")
          .map(({ incarnation }) => incarnation),
      )
      for (const { executor, fence, id, state } of (yield* Kept.runsOf(storage)).values()) {
        if (state !== "Running" && seen.get(id) === state) continue
        seen.set(id, state)
        const isHeldByNobody = state === "Running" && !here.has(executor!.incarnation)
        ledger.write({ kind: "seen", run: id, fence, state, isHeldByNobody })
      }
      ledger.write({ kind: "open", gates: yield* storage.runs.openGates(gatesMax) })
    }
  },
  Effect.orDie,
)
