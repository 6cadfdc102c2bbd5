/** `belfry trigger show`: all that is known about a trigger, and how its latest slots ended. */
import { Effect, Option } from "effect"
import { Command } from "effect/cli"
import { client, namespace, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { policyFacts } from "../policyWords.ts"
import { misfireWords, nextWords, ruleFacts, scheduleWords, tailFacts } from "../schedule.ts"
import { slotTable } from "../slots.ts"

export const triggerShow = Command.make(
  "show",
  { ...client, namespace, name: triggerName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { triggerWithSlotsJson }]) {
        const { call } = yield* open(given)
        const found = yield* call((api) =>
          api.triggers.get({
            params: { name: given.name },
            query: { ...inNamespace(given.namespace), slots: 5 },
          })
        )
        if (given.json) return Output.printJson(triggerWithSlotsJson(found))
        const { misfire, schedule } = found
        Output.print(Output.facts([
          ["trigger", found.name],
          ["task", found.task],
          ["schedule", scheduleWords(schedule)],
          ["payload", Output.plain(JSON.stringify(found.payload))],
          ...ruleFacts(schedule),
          ["misfire", misfireWords(misfire)],
          ["grace", graceWords(found.graceMillis)],
          ["while running", found.whileRunning && whileWords[found.whileRunning]],
          ["blocking key", found.blockingKey && Output.plain(found.blockingKey)],
          ["revision", String(found.revision)],
          ["next", nextWords(found)],
          ...(found.scheduler === undefined ? [] : [["scheduler", found.scheduler] as const]),
          ...tailFacts(found, Date.now()),
        ]))
        const task = yield* Effect.option(
          call((api) =>
            api.tasks.get({ params: { name: found.task }, query: inNamespace(given.namespace) })
          ),
        )
        Output.print(
          Option.isNone(task)
            ? "\npolicy of the task: the usual one, as nobody has brought it"
            : `\npolicy of the task\n${Output.facts(policyFacts(task.value.policy))}`,
        )
        if (found.slots.length > 0) Output.print(`\n${slotTable(found.slots)}`)
      }),
    ),
).pipe(
  Command.withDescription(
    "Show a trigger, the policy of its task in words, and how its latest slots ended",
  ),
  Command.withExamples([{ command: "belfry trigger show nightly --json" }]),
)

const whileWords = {
  allow: "allow: a slot fires all the same",
  skip: "skip: a slot is skipped",
  fail: "fail: a slot makes a run that has failed",
}

const graceWords = (millis: number | undefined) =>
  millis === undefined ? undefined : `misfired when later than ${Output.millis(millis)}`
