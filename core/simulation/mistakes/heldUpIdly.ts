/** Planted: a slot is skipped for a run of its trigger that has just ended. */
import { Effect } from "effect"
import * as Run from "../../domain/Run.ts"
import { stillRunning } from "../../domain/Trigger.ts"
import type { Mistake } from "../World.ts"

const justMillis = 2000

export const heldUpIdly: Mistake = (storage, state) => {
  const { triggers } = storage
  return {
    ...storage,
    triggers: {
      ...triggers,
      fire: (items) =>
        Effect.forEach(items, (item) =>
          Effect.gen(function* () {
            const { fire, passed, trigger } = item
            const kept = state.triggers.get(trigger)
            const run = state.runs.get(kept?.records.findLast(({ run }) => run)?.run as never)
            const now = yield* storage.now
            const isHeldUp = fire?.whileRunning === "skip" && passed === undefined &&
              run !== undefined && Run.isFinal(run.state._tag) &&
              now - run.finishedAt! < justMillis
            if (!isHeldUp) return (yield* triggers.fire([item]))[0]!
            const { slot } = fire
            const [answer] = yield* triggers.fire([{
              ...item,
              fire: undefined,
              passed: { from: slot, through: slot, outcome: "skipped" },
            }])
            if (answer?._tag !== "Recorded") return answer!
            const { reason: _, ...record } = kept!.records.pop()!
            kept!.records.push({ ...record, reason: stillRunning(run.id), running: run.id })
            return answer
          })),
    },
  }
}
