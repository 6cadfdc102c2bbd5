/** `belfry trigger list`: the triggers, and when they fire next. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import type { TriggerName } from "../../core/domain/Trigger.ts"
import { limit, list, unlessNamed } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { asHere } from "../started.ts"
import { nextWords, scheduleWords } from "../schedule.ts"

export const triggerList = Command.make("list", {
  ...list,
  limit: limit.pipe(
    unlessNamed(50, "At most so many, up to 500"),
  ),
  cursor: Flag.String("cursor").pipe(
    Flag.withDescription("Go on after a page, from its `next`"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, views]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.triggers.list({
          query: {
            ...inNamespace(given.namespace),
            ...(Option.isSome(given.cursor) && { cursor: given.cursor.value as TriggerName }),
            limit: given.limit,
          },
        })
      )
      if (given.json) return Output.printJson(views.triggerPageJson(answer))
      if (given.jsonl) {
        return answer.items.forEach((each) => Output.printJsonLine(views.triggerJson(each)))
      }
      const now = Date.now()
      Output.print(Output.table(
        ["trigger", "task", "schedule", "next", ""],
        answer.items.map(({ isPaused, name, nextSlot, schedule, tail, task }) => [
          name,
          task,
          scheduleWords(schedule),
          nextWords({ isPaused, nextSlot, schedule }),
          tail?.failure !== undefined
            ? "stuck"
            : isPaused || nextSlot === null
            ? ""
            : Output.fromNow(nextSlot.epochMilliseconds, now),
        ]),
      ))
      if (answer.items.length === 0) {
        Output.talk(
          `no triggers: ${asHere('belfry trigger set nightly "0 3 * * *" --task TASK')} keeps one`,
        )
      }
      if (answer.next !== null) Output.talk(`more: --cursor ${answer.next}`)
    }),
  )).pipe(
    Command.withDescription("List triggers and when they fire next"),
    Command.withExamples([{ command: "belfry trigger list --json" }]),
  )
