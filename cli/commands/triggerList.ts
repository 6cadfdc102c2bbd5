/** `belfry trigger list`: the triggers, and when they fire next. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import type { Schedule } from "../../cluster/api/Views.ts"
import { list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const triggerList = Command.make("list", list, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, views]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.triggers.list({ query: inNamespace(given.namespace) })
      )
      if (given.json) return Output.printJson(views.triggerListJson(answer))
      if (given.jsonl) {
        return answer.items.forEach((each) => Output.printJsonLine(views.triggerJson(each)))
      }
      const now = Date.now()
      Output.print(Output.table(
        ["trigger", "task", "schedule", "next", ""],
        answer.items.map(({ isPaused, name, nextSlot, schedule, task }) => [
          name,
          task,
          words(schedule),
          isPaused ? "paused" : nextSlot === null ? "none" : DateTime.formatIso(nextSlot),
          isPaused || nextSlot === null ? "" : Output.fromNow(nextSlot.epochMilliseconds, now),
        ]),
      ))
    }),
  )).pipe(
    Command.withDescription("List triggers and when they fire next"),
    Command.withExamples([{ command: "belfry trigger list --json" }]),
  )

const words = (schedule: Schedule): string => {
  if ("cron" in schedule) {
    const { calendar, cron, zone = "UTC" } = schedule
    return [cron, zone, calendar].filter((each) => each !== undefined).join("  ")
  }
  if ("everyMillis" in schedule) return `every ${Output.millis(schedule.everyMillis)}`
  if ("permanent" in schedule) return "permanent"
  return `at ${DateTime.formatIso(schedule.at)}`
}
