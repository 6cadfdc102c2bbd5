/** When a schedule is due, before it is kept: nothing is read or stored. */
import { Clock, DateTime, Effect } from "effect"
import type { Refused } from "../../core/domain/Refused.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import { toSchedule } from "./answers.ts"
import type { Preview, PreviewTrigger } from "./Views.ts"

/** A rare schedule costs long searches; what was found within this time is the answer. */
const budgetMillis = 250

export const preview = (
  request: typeof PreviewTrigger.Type,
): Effect.Effect<typeof Preview.Type, Refused> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const from = request.from === undefined
      ? clock.currentTimeMillisUnsafe()
      : DateTime.toEpochMillis(request.from)
    const wanted = toSchedule(request.schedule)
    // An interval is counted from when it is stored, which here is `from`.
    const schedule = wanted._tag === "Every" && wanted.anchor === undefined
      ? { ...wanted, anchor: from }
      : wanted
    yield* Effect.fromResult(Trigger.check(schedule, from))
    const zone = DateTime.zoneMakeNamedUnsafe(wanted._tag === "Cron" ? wanted.zone : "UTC")
    const count = request.count ?? 10
    const started = clock.monotonicTimeNanosUnsafe()
    const isOver = () =>
      clock.monotonicTimeNanosUnsafe() - started > BigInt(budgetMillis) * 1_000_000n

    const fires = []
    let isComplete = true
    for (const slot of Trigger.slots(schedule, from)) {
      if (fires.length === count || isOver()) {
        isComplete = false
        break
      }
      const at = DateTime.makeUnsafe(slot)
      fires.push({ at, local: DateTime.formatIsoZoned(DateTime.setZone(at, zone)) })
    }
    return { fires, isComplete }
  })
