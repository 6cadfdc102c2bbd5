/** Planted: who has held a run may still say how far it has come, until another has. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const progressUnfenced: Mistake = (storage, state) => {
  const { logs, now } = storage
  return {
    ...storage,
    logs: {
      ...logs,
      append: Effect.fnUntraced(function* (incarnation, told) {
        yield* logs.append(incarnation, told)
        const at = yield* now
        for (const { fence, progress, run } of told) {
          const kept = state.told.get(run)
          if (kept === undefined || progress === undefined) continue
          const known = kept.progress ?? { fence: 0, sequence: 0 }
          const isNewer = known.fence < fence ||
            known.fence === fence && known.sequence < progress.sequence
          if (isNewer) kept.progress = { ...progress, fence, at }
        }
      }),
    },
  }
}
