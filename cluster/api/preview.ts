/** When a schedule is due, and why, before it is kept: nothing is stored. */
import { Clock, DateTime, Effect, Option, Result } from "effect"
import * as Calendar from "../../core/domain/Calendar.ts"
import { type Namespace, standard } from "../../core/domain/Namespace.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import { judge, type Rule } from "../../core/domain/Following.ts"
import { RunId } from "../../core/domain/RunId.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import { payloadBytesMax } from "../../core/engine/Submitting.ts"
import { toSchedule } from "./answers.ts"
import type { Preview, PreviewTrigger } from "./Views.ts"

/** A rare schedule costs long searches; what was found within this time is the answer. */
const budgetMillis = 250

/** Given with the request, so that its name need not be that of a kept one. */
const unnamed = Calendar.CalendarName.make("preview")

export const preview = <E>(
  request: typeof PreviewTrigger.Type,
  find: (
    namespace: Namespace,
    name: Calendar.CalendarName,
  ) => Effect.Effect<Option.Option<Calendar.Calendar>, E>,
): Effect.Effect<Preview, Refused | E> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const from = request.from === undefined
      ? clock.currentTimeMillisUnsafe()
      : DateTime.toEpochMillis(request.from)
    const namespace = request.namespace ?? standard
    const wanted = toSchedule(request.schedule)
    if (wanted._tag === "After") {
      return { fires: [], isComplete: true, ...followedOf(wanted, request, from) }
    }
    if (wanted._tag === "Tail") return { fires: [], isComplete: true }
    const name = Trigger.calendarOf(wanted)
    const calendar = request.calendar !== undefined
      ? yield* Effect.fromResult(
        Calendar.make({ ...request.calendar, namespace, name: name ?? unnamed }),
      )
      : name === undefined
      ? undefined
      : Option.getOrUndefined(yield* find(namespace, name))
    const schedule = wanted._tag === "Every" && wanted.anchor === undefined
      // An interval is counted from when it is stored, which here is `from`.
      ? { ...wanted, anchor: wanted.start ?? from }
      : wanted._tag === "Cron" && calendar !== undefined
      ? { ...wanted, calendar: calendar.name }
      : wanted
    yield* Effect.fromResult(Trigger.check(schedule, from, calendar))
    const zone = DateTime.zoneMakeNamedUnsafe(wanted._tag === "Cron" ? wanted.zone : "UTC")
    const count = request.count ?? 10
    const started = clock.monotonicTimeNanosUnsafe()
    const isOver = () =>
      clock.monotonicTimeNanosUnsafe() - started > BigInt(budgetMillis) * 1_000_000n

    const definition = {
      namespace,
      name: request.name ?? Trigger.TriggerName.make("preview"),
      schedule,
    }
    const fires: Array<Preview["fires"][number]> = []
    let isComplete = true
    for (const { because, due, leftOut, slot } of Trigger.fires(definition, calendar, from)) {
      if (fires.length === count || isOver()) {
        isComplete = false
        break
      }
      const at = DateTime.makeUnsafe(slot)
      fires.push({
        at,
        local: DateTime.formatIsoZoned(DateTime.setZone(at, zone)),
        due: DateTime.makeUnsafe(due),
        because,
        leftOut,
      })
    }
    return { fires, isComplete }
  })

const followedOf = (
  rule: Rule,
  { ended, payload = {} }: typeof PreviewTrigger.Type,
  at: number,
): Pick<Preview, "followed"> => {
  if (ended === undefined) return {}
  const judged = judge(rule, JSON.stringify(payload), {
    // Of no run that there is.
    run: RunId.make(1),
    task: rule.task,
    state: ended.state,
    attempt: 1,
    at,
    ...(ended.result !== undefined && { result: JSON.stringify(ended.result) }),
  }, payloadBytesMax)
  return {
    followed: Result.isSuccess(judged)
      ? { payload: JSON.parse(judged.success) }
      : { reason: judged.failure },
  }
}
