/**
 * Which days are workdays, for the triggers that name it.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Calendar, Task, Trigger } from "belfry"
 * import * as Embedded from "belfry/embedded"
 * import * as Memory from "belfry/memory"
 *
 * const Report = Task.make("report")
 *
 * const calendar = Calendar.keep({
 *   name: "office",
 *   rest: ["SAT", "SUN"],
 *   holidays: ["2031-10-01", "2031-10-02", "2031-10-03"],
 *   workdays: ["2031-09-28"],
 * })
 * const schedule = Report.schedule(
 *   "mornings",
 *   Trigger.cron("30 7 * * *", { zone: "Asia/Shanghai", calendar: "office", freeDay: "next" }),
 *   {},
 * )
 *
 * const Live = schedule.pipe(
 *   Layer.provide(calendar), // before the triggers that name it
 *   Layer.provideMerge(Embedded.layer),
 *   Layer.provide(Memory.layer),
 * )
 * await Effect.runPromise(Effect.scoped(Layer.build(Live)))
 * ```
 */
import { Effect, Layer } from "effect"
import type { CalendarInput } from "../domain/Calendar.ts"
import type { Refused } from "../domain/Refused.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { CurrentNamespace } from "./CurrentNamespace.ts"
import { Triggers } from "./Triggers.ts"

/** Keeps a calendar of this name. It has to be there before a trigger names it. */
export const keep = (
  calendar: Omit<CalendarInput, "namespace">,
): Layer.Layer<never, Refused | StorageUnavailable, Triggers> =>
  Layer.effectDiscard(Effect.gen(function* () {
    const { calendars } = yield* Triggers
    yield* calendars.put({ ...calendar, namespace: yield* CurrentNamespace })
  }))
